//! Questions to services whose SDK clients are not worth the compiling: one request, signed by hand.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>

use std::time::SystemTime;

use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SigningInstructions, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use shared::store::client::AwsCredentials;

/// The header that names the action of services with one address.
pub(super) const TARGET: &str = "x-amz-target";

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// As signatures name it: `cloudformation`.
    pub(super) service: &'a str,
    /// The HTTP method.
    pub(super) method: &'a str,
    /// The whole address.
    pub(super) url: &'a str,
    /// Content type and body.
    pub(super) form: Option<(&'a str, &'a str)>,
    /// `X-Amz-Target`, of services whose address is the same for all actions.
    pub(super) target: Option<&'a str>,
}

impl Question<'_> {
    /// The headers that sign it; `None`: the address is no address.
    pub(super) fn sign(
        &self,
        credentials: &AwsCredentials,
        region: &str,
        now: SystemTime,
    ) -> Option<SigningInstructions> {
        let identity: Identity = credentials.provider().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(self.service)
            .time(now)
            .settings(SigningSettings::default())
            .build()
            .ok()?
            .into();
        let kind = self.form.map(|(kind, _)| ("content-type", kind));
        let target = self.target.map(|target| (TARGET, target));
        let body = self.form.map_or("", |(_, body)| body);
        let body = SignableBody::Bytes(body.as_bytes());
        let request =
            SignableRequest::new(self.method, self.url, kind.into_iter().chain(target), body)
                .ok()?;
        let (instructions, _) = sign(request, &parameters).ok()?.into_parts();
        Some(instructions)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_question_is_signed_as_aws_s_own_tools_sign_it() {
        // Both signatures are those of botocore 1.43 for this request at this instant.
        let cases = [
            (
                None,
                "content-type;host;x-amz-date, Signature=6a434320bed5ba1f03f5b7b1b4753202f81587d018a2386a3f536b9059e5c12e",
            ),
            (
                Some("session-token"),
                "content-type;host;x-amz-date;x-amz-security-token, Signature=be31f164b127f73738fe4bec06b226a1df09b3764ac52936ed86f71efb7fc07b",
            ),
        ];
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        for (token, wanted) in cases {
            let credentials = AwsCredentials {
                access_key_id: "AKIDEXAMPLE".to_owned(),
                secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
                session_token: token.map(str::to_owned),
            };
            let question = Question {
                service: "cloudformation",
                method: "POST",
                url: "https://cloudformation.sa-east-1.amazonaws.com/",
                form: Some((
                    "application/x-www-form-urlencoded; charset=utf-8",
                    "Action=DescribeStacks&Version=2010-05-15&StackName=shop",
                )),
                target: None,
            };
            let signed = question
                .sign(&credentials, "sa-east-1", now.into())
                .unwrap();
            let header = |name: &str| {
                let found = signed.headers().find(|(other, _)| *other == name);
                found.map(|(_, value)| value.to_owned())
            };
            assert_eq!(
                header("authorization").unwrap(),
                format!(
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/sa-east-1/cloudformation/aws4_request, SignedHeaders={wanted}"
                )
            );
            assert_eq!(header("x-amz-security-token").as_deref(), token);
        }
    }
}
