pub(crate) const NONE: () = ();
