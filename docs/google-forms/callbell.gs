/**
 * Sends every answer to a Google form to callbell-serverless, signed. See README.md beside this file.
 *
 * Paste it into the script of the form, or of the sheet that collects the form's answers; fill in the two lines
 * below, or set the script properties CALLBELL_URL and CALLBELL_SECRET; run install once.
 *
 * What stands in its log names answers by their ids and says nothing of what was answered.
 */

/**
 * Asks Google for the form or sheet that it stands in, and for no other.
 * @OnlyCurrentDoc
 */

var CALLBELL_URL = ''; // https://….amazonaws.com/forms/google-forms
var CALLBELL_SECRET = ''; // as callbell connect google-forms prints it

/** How often an answer is sent at once, and how long between, in milliseconds. */
var TRIES_MAX = 3;
var PAUSES_MS = [2000, 8000];
/** What could not be sent waits in the script properties, and is tried again every so many minutes. */
var DRAIN_MINUTES = 10;
/** Most answers that wait; the oldest goes first. */
var QUEUE_MAX = 40;
/** Most characters that wait. Google keeps 500 KB of properties a script. */
var QUEUE_CHARS_MAX = 300000;
/** Longest piece of an answer in one property, in characters. Google keeps 9 KB in each. */
var PIECE_CHARS_MAX = 8000;
/** For how many days an answer is tried. */
var QUEUE_DAYS_MAX = 7;
/** From when on a waiting answer is an error, of which Google sends its owner an e-mail, in minutes. */
var LATE_MINUTES = 60;
/** Longest run of the trigger that drains the queue, in milliseconds. Google ends a run after six minutes. */
var DRAIN_MS_MAX = 4 * 60 * 1000;
/** After so many failures in a row the rest waits for the next run. */
var FAILURES_MAX = 3;
/** Longest answer to one question that is sent, in characters. */
var TEXT_CHARS_MAX = 2000;
/** Longest wait for another run of this script, in milliseconds. */
var LOCK_MS = 10000;

var QUEUE_PREFIX = 'callbell.queue.';
/** What a secret begins with whose rest is base64. Any other secret is a text. */
var SECRET_PREFIX = 'whsec_';

/**
 * Makes the triggers and checks address and secret. Running it again does no harm: this script's own triggers
 * are made anew.
 */
function install() {
  settings_();
  var owned = ['submitted', 'drain'];
  ScriptApp.getProjectTriggers().forEach(function (trigger) {
    if (owned.indexOf(trigger.getHandlerFunction()) >= 0) {
      ScriptApp.deleteTrigger(trigger);
    }
  });
  var form = activeForm_();
  var sheet = form ? null : SpreadsheetApp.getActiveSpreadsheet();
  if (form) {
    ScriptApp.newTrigger('submitted').forForm(form).onFormSubmit().create();
  } else if (sheet) {
    ScriptApp.newTrigger('submitted').forSpreadsheet(sheet).onFormSubmit().create();
  } else {
    throw new Error('callbell: open the script from the form or its sheet: there, Extensions or the three dots, Apps Script');
  }
  ScriptApp.newTrigger('drain').timeBased().everyMinutes(DRAIN_MINUTES).create();
  ping_();
  console.log('callbell: installed. Every answer is sent from now on.');
}

/** Whoever fills in the form. Google calls it: there is nothing to run by hand. */
function submitted(event) {
  var data;
  if (event && event.response) {
    data = ofForm_(event);
  } else if (event && event.range) {
    data = ofSheet_(event);
  } else {
    throw new Error('callbell: Google calls submitted when somebody fills in the form. Run install instead');
  }
  // Built once: what is signed is what is sent, however often.
  var body = JSON.stringify({ type: 'form.submitted', timestamp: new Date().toISOString(), data: data });
  // A point divides what is signed, and the names of what waits.
  var id = ('gform_' + data.formId + '_' + data.responseId).replace(/[^A-Za-z0-9_-]/g, '-');
  var outcome = 'later';
  for (var attempt = 0; attempt < TRIES_MAX && outcome === 'later'; attempt++) {
    if (attempt > 0) {
      Utilities.sleep(PAUSES_MS[attempt - 1]);
    }
    outcome = send_(id, body).outcome;
  }
  if (outcome === 'later' || outcome === 'refused') {
    enqueue_(id, body);
  }
}

/** What could not be sent. Google calls it every few minutes; running it by hand does no harm. */
function drain() {
  var lock = LockService.getScriptLock();
  if (!lock.tryLock(LOCK_MS)) {
    return;
  }
  try {
    drainLocked_();
  } finally {
    lock.releaseLock();
  }
}

function drainLocked_() {
  var started = Date.now();
  var failures = 0;
  var late = 0;
  var last = '';
  queue_().forEach(function (entry) {
    var age = started - entry.since;
    if (age > QUEUE_DAYS_MAX * 24 * 60 * 60 * 1000) {
      console.error('callbell: ' + entry.id + ' was tried for ' + QUEUE_DAYS_MAX + ' days and is given up');
      remove_(entry);
      return;
    }
    if (failures < FAILURES_MAX && Date.now() - started < DRAIN_MS_MAX) {
      var sent = send_(entry.id, entry.body());
      if (sent.outcome === 'done' || sent.outcome === 'dropped') {
        remove_(entry);
        failures = 0;
        return;
      }
      failures += 1;
      last = sent.what;
    }
    if (age > LATE_MINUTES * 60 * 1000) {
      late += 1;
    }
  });
  if (late > 0) {
    // Google tells the owner of the trigger about runs that fail.
    throw new Error('callbell: ' + late + ' answer(s) wait for more than ' + LATE_MINUTES + ' minutes. ' + last);
  }
}

/** What a form's own script is told. Questions that were left out are not among the answers. */
function ofForm_(event) {
  var response = event.response;
  var form = event.source || activeForm_();
  var at = response.getTimestamp();
  var data = {
    formId: form.getId(),
    title: form.getTitle(),
    // Google may have none yet.
    responseId: response.getId() || 't' + at.getTime(),
    submittedAt: at.toISOString(),
    answers: []
  };
  var email = response.getRespondentEmail();
  if (email) {
    data.respondentEmail = email;
  }
  response.getItemResponses().forEach(function (answer) {
    var item = answer.getItem();
    var type = String(item.getType());
    add_(data.answers, {
      itemId: String(item.getId()),
      title: item.getTitle(),
      type: type,
      value: value_(item, type, answer.getResponse())
    });
  });
  return data;
}

/** Rows of a grid have names of their own: "Monday: Morning". */
function value_(item, type, value) {
  var rows = null;
  if (type === 'GRID') {
    rows = item.asGridItem().getRows();
  } else if (type === 'CHECKBOX_GRID') {
    rows = item.asCheckboxGridItem().getRows();
  }
  if (!rows || !Array.isArray(value)) {
    return value;
  }
  var lines = [];
  value.forEach(function (chosen, index) {
    var text = Array.isArray(chosen) ? chosen.filter(Boolean).join(', ') : chosen;
    if (text) {
      lines.push(rows[index] + ': ' + text);
    }
  });
  return lines;
}

/**
 * What a sheet's script is told: texts by the question's title, so that of two questions with one title there is
 * one answer. There is no id: sheet, row and time make one. The time is there because a row that was deleted
 * leaves its number to the next answer.
 */
function ofSheet_(event) {
  var sheet = event.range.getSheet();
  var book = sheet.getParent();
  var row = event.range.getRow();
  var columns = sheet.getLastColumn();
  var titles = sheet.getRange(1, 1, 1, columns).getDisplayValues()[0];
  // The first column is Google's own: when it was sent.
  var stamp = sheet.getRange(row, 1).getValue();
  var isDate = Object.prototype.toString.call(stamp) === '[object Date]' && !isNaN(stamp.getTime());
  var at = isDate ? stamp : new Date();
  var seconds = isDate ? Math.floor(at.getTime() / 1000) : 'x';
  var data = {
    formId: formOf_(sheet) || book.getId(),
    title: book.getName(),
    responseId: book.getId() + '-' + sheet.getSheetId() + '-' + row + '-' + seconds,
    submittedAt: at.toISOString(),
    answers: []
  };
  var seen = {};
  titles.slice(1).forEach(function (title) {
    var values = event.namedValues[title];
    if (!values || seen['=' + title]) {
      return;
    }
    seen['=' + title] = true;
    values = values.filter(function (value) {
      return value !== '';
    });
    add_(data.answers, { title: title, type: 'SHEET', value: values.length > 1 ? values : values[0] });
  });
  return data;
}

/** The id in the address of the form that fills a sheet. */
function formOf_(sheet) {
  var found = /\/d\/(?:e\/)?([A-Za-z0-9_-]+)/.exec(sheet.getFormUrl() || '');
  return found ? found[1] : null;
}

function add_(answers, answer) {
  var value = Array.isArray(answer.value) ? answer.value.map(text_) : text_(answer.value);
  if (value === null || value === undefined || value === '' || value.length === 0) {
    return;
  }
  answer.value = value;
  answers.push(answer);
}

/** A text, not longer than it may be. Half of a character that takes two is none. */
function text_(value) {
  if (typeof value !== 'string') {
    return value;
  }
  var whole = Array.from(value).filter(function (c) {
    return c.length > 1 || c < '\ud800' || c > '\udfff';
  });
  return whole.slice(0, TEXT_CHARS_MAX).join('');
}

function activeForm_() {
  try {
    return FormApp.getActiveForm();
  } catch (error) {
    return null;
  }
}

function settings_() {
  var properties = PropertiesService.getScriptProperties();
  var url = (CALLBELL_URL || properties.getProperty('CALLBELL_URL') || '').trim();
  var secret = (CALLBELL_SECRET || properties.getProperty('CALLBELL_SECRET') || '').trim();
  if (!/^https:\/\//.test(url)) {
    throw new Error('callbell: CALLBELL_URL has to be the https address that callbell connect google-forms prints');
  }
  if (!secret || secret === SECRET_PREFIX) {
    throw new Error('callbell: CALLBELL_SECRET is empty: callbell connect google-forms prints it');
  }
  return { url: url, key: key_(secret) };
}

/** The bytes of a secret. */
function key_(secret) {
  if (secret.indexOf(SECRET_PREFIX) !== 0) {
    return bytes_(secret);
  }
  var base64 = secret.slice(SECRET_PREFIX.length).replace(/=+$/, '');
  if (!/^[A-Za-z0-9+\/]+$/.test(base64)) {
    throw new Error('callbell: CALLBELL_SECRET begins with whsec_, which base64 has to follow');
  }
  while (base64.length % 4) {
    base64 += '=';
  }
  return Utilities.base64Decode(base64);
}

function bytes_(text) {
  return Utilities.newBlob(text).getBytes();
}

/** Whether the address takes what the secret signs. */
function ping_() {
  var body = JSON.stringify({ type: 'ping', timestamp: new Date().toISOString() });
  var sent = send_('ping_' + Date.now(), body);
  if (sent.outcome !== 'done') {
    throw new Error('callbell: the triggers are made, but nothing arrives: ' + sent.what);
  }
}

/**
 * One request: done, later (nobody is there, or too busy), refused (wait until somebody mends it) or dropped (it
 * never will be taken). Each is signed with its own time and the same id.
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
function send_(id, body) {
  var settings;
  try {
    settings = settings_();
  } catch (error) {
    console.error(error.message);
    return { outcome: 'refused', what: error.message };
  }
  var time = String(Math.floor(Date.now() / 1000));
  // Bytes on both sides: a text would be signed in a charset that nothing says.
  var signature = Utilities.computeHmacSha256Signature(bytes_(id + '.' + time + '.' + body), settings.key);
  var status;
  try {
    status = UrlFetchApp.fetch(settings.url, {
      method: 'post',
      contentType: 'application/json',
      payload: body,
      headers: {
        'webhook-id': id,
        'webhook-timestamp': time,
        'webhook-signature': 'v1,' + Utilities.base64Encode(signature)
      },
      muteHttpExceptions: true,
      followRedirects: false
    }).getResponseCode();
  } catch (error) {
    console.warn('callbell: ' + id + ': no answer');
    return { outcome: 'later', what: 'Nobody answers at the address.' };
  }
  if (status >= 200 && status < 300) {
    return { outcome: 'done', what: '' };
  }
  console.warn('callbell: ' + id + ': answered ' + status);
  var what = 'The last one was answered ' + status + '.';
  if (status === 401) {
    what += ' Is CALLBELL_SECRET the one that callbell connect google-forms prints?';
  } else if (status === 404) {
    what += ' Is CALLBELL_URL right, and is its secret known there?';
  }
  if (status === 400 || status === 413) {
    return { outcome: 'dropped', what: what };
  }
  var isBusy = status === 408 || status === 429 || status >= 500;
  return { outcome: isBusy ? 'later' : 'refused', what: what };
}

/** Keeps an answer, in pieces of base64, of which a character is a byte. */
function enqueue_(id, body) {
  var lock = LockService.getScriptLock();
  // Kept without the lock too: better one too many than one too few.
  var isLocked = lock.tryLock(LOCK_MS);
  try {
    var text = Utilities.base64Encode(bytes_(body));
    if (text.length > QUEUE_CHARS_MAX) {
      throw new Error('callbell: ' + id + ' could not be sent and is too long to be kept');
    }
    makeRoom_(text.length);
    var properties = PropertiesService.getScriptProperties();
    var head = QUEUE_PREFIX + ('0000000000000' + Date.now()).slice(-13) + '.' + id + '.';
    // The number of pieces comes first, so that half of an answer is never sent.
    var count = Math.ceil(text.length / PIECE_CHARS_MAX);
    for (var index = 0; index < count; index++) {
      var piece = text.slice(index * PIECE_CHARS_MAX, (index + 1) * PIECE_CHARS_MAX);
      properties.setProperty(head + ('00' + index).slice(-3), count + ':' + piece);
    }
    console.warn('callbell: ' + id + ' waits to be sent again');
  } finally {
    if (isLocked) {
      lock.releaseLock();
    }
  }
}

/** The oldest go where there is no room. */
function makeRoom_(chars) {
  var entries = queue_();
  var held = chars;
  entries.forEach(function (entry) {
    held += entry.chars;
  });
  while (entries.length > 0 && (entries.length >= QUEUE_MAX || held > QUEUE_CHARS_MAX)) {
    var oldest = entries.shift();
    console.error('callbell: ' + oldest.id + ' is given up: too many answers wait');
    held -= oldest.chars;
    remove_(oldest);
  }
}

/** What waits, oldest first. */
function queue_() {
  var all = PropertiesService.getScriptProperties().getProperties();
  var entries = {};
  Object.keys(all)
    .filter(function (name) {
      return name.indexOf(QUEUE_PREFIX) === 0;
    })
    .sort()
    .forEach(function (name) {
      var parts = name.slice(QUEUE_PREFIX.length).split('.');
      var head = parts[0] + '.' + parts[1];
      var entry = entries[head] || { id: parts[1], since: Number(parts[0]), names: [], pieces: [], chars: 0, count: 0 };
      var value = all[name];
      var colon = value.indexOf(':');
      entry.count = Number(value.slice(0, colon));
      entry.names.push(name);
      entry.pieces.push(value.slice(colon + 1));
      entry.chars += value.length;
      entries[head] = entry;
    });
  return Object.keys(entries)
    .sort()
    .map(function (head) {
      var entry = entries[head];
      entry.body = function () {
        var bytes = Utilities.base64Decode(entry.pieces.join(''));
        return Utilities.newBlob(bytes).getDataAsString('UTF-8');
      };
      return entry;
    })
    .filter(function (entry) {
      if (entry.pieces.length === entry.count) {
        return true;
      }
      // A run that was cut off while it wrote.
      if (Date.now() - entry.since > DRAIN_MS_MAX) {
        console.error('callbell: ' + entry.id + ' was kept in part and is given up');
        remove_(entry);
      }
      return false;
    });
}

function remove_(entry) {
  var properties = PropertiesService.getScriptProperties();
  entry.names.forEach(function (name) {
    properties.deleteProperty(name);
  });
}
