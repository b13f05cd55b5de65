// Runs callbell.gs on this machine with stubs of Google's services, as strict as Google's own: bytes are signed,
// a property has at most 9 KB. `node --test docs/google-forms/callbell.test.mjs`
//
// What the script posts is kept in shared/tests/fixtures/google-forms, where the source is tested with it. After a
// change that is meant: UPDATE=1 node --test docs/google-forms/callbell.test.mjs, then the tests of the source.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const SCRIPT = readFileSync(here('./callbell.gs'), 'utf8');
const FIXTURES = here('../../shared/tests/fixtures/google-forms/');
const URL_OF_DOOR = 'https://abc.execute-api.sa-east-1.amazonaws.com/forms/google-forms';
/** As `callbell connect` makes one. */
const HEX = '5f2c9d0e'.repeat(8);
/** 24 bytes, with padding taken off. */
const WHSEC = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
/** 2026-03-16 19:00 UTC. */
const NOW_MS = Date.UTC(2026, 2, 16, 19, 0, 5);
const PROPERTY_BYTES_MAX = 9 * 1024;
const PROPERTIES_BYTES_MAX = 500 * 1024;

const signed = (buffer) => [...buffer].map((byte) => (byte > 127 ? byte - 256 : byte));
const isBytes = (value) =>
  Array.isArray(value) && value.every((byte) => Number.isInteger(byte) && byte >= -128 && byte <= 127);
const buffer = (bytes) => {
  assert.ok(isBytes(bytes), 'Byte[] with signed bytes');
  return Buffer.from(bytes.map((byte) => byte & 0xff));
};

/** A Google account with this script in it. */
function world({ answers = [], form = null, book = null, secret = HEX, url = URL_OF_DOOR, properties = {} } = {}) {
  const w = {
    ms: NOW_MS,
    properties: { CALLBELL_URL: url, CALLBELL_SECRET: secret, ...properties },
    requests: [],
    slept: [],
    logged: [],
    triggers: [],
    answers: [...answers],
    locked: false,
  };
  class FakeDate extends Date {
    constructor(...args) {
      if (args.length === 0) super(w.ms);
      else super(...args);
    }
    static now() {
      return w.ms;
    }
  }
  const blob = (data) => ({
    getBytes: () => (typeof data === 'string' ? signed(Buffer.from(data, 'utf8')) : data),
    getDataAsString: (charset) => {
      assert.equal(charset, 'UTF-8');
      return buffer(data).toString('utf8');
    },
  });
  const Utilities = {
    newBlob: blob,
    computeHmacSha256Signature: (value, key) =>
      signed(createHmac('sha256', buffer(key)).update(buffer(value)).digest()),
    base64Encode: (bytes) => buffer(bytes).toString('base64'),
    base64Decode: (text) => {
      assert.equal(text.length % 4, 0, 'padded base64');
      return signed(Buffer.from(text, 'base64'));
    },
    sleep: (ms) => {
      w.slept.push(ms);
      w.ms += ms;
    },
  };
  const UrlFetchApp = {
    fetch: (to, options) => {
      w.requests.push({ url: to, ...options });
      const answer = w.answers.length > 0 ? w.answers.shift() : 200;
      if (answer === 'exception') throw new Error('DNS error: ' + to);
      assert.equal(options.muteHttpExceptions, true);
      return { getResponseCode: () => answer };
    },
  };
  const size = () => Object.entries(w.properties).reduce((sum, [k, v]) => sum + k.length + Buffer.byteLength(v), 0);
  const store = {
    getProperty: (name) => w.properties[name] ?? null,
    getProperties: () => ({ ...w.properties }),
    setProperty: (name, value) => {
      assert.ok(Buffer.byteLength(value) <= PROPERTY_BYTES_MAX, 'a property has 9 KB');
      w.properties[name] = value;
      assert.ok(size() <= PROPERTIES_BYTES_MAX, 'all properties have 500 KB');
    },
    deleteProperty: (name) => {
      delete w.properties[name];
    },
  };
  const lock = {
    tryLock: () => (w.locked ? false : (w.locked = true)),
    releaseLock: () => {
      w.locked = false;
    },
  };
  const made = (kind, handler) => {
    const trigger = { kind, getHandlerFunction: () => handler };
    w.triggers.push(trigger);
    return trigger;
  };
  const ScriptApp = {
    getProjectTriggers: () => [...w.triggers],
    deleteTrigger: (trigger) => {
      w.triggers = w.triggers.filter((other) => other !== trigger);
    },
    newTrigger: (handler) => ({
      forForm: (of) => ({ onFormSubmit: () => ({ create: () => made(of.getId(), handler) }) }),
      forSpreadsheet: (of) => ({ onFormSubmit: () => ({ create: () => made(of.getId(), handler) }) }),
      timeBased: () => ({
        everyMinutes: (minutes) => {
          assert.ok([1, 5, 10, 15, 30].includes(minutes));
          return { create: () => made(`every ${minutes}`, handler) };
        },
      }),
    }),
  };
  const FormApp = {
    getActiveForm: () => {
      if (book) throw new Error('no form here');
      return form;
    },
  };
  const log = (level) => (text) => w.logged.push(`${level} ${text}`);
  const services = {
    Utilities,
    UrlFetchApp,
    ScriptApp,
    FormApp,
    SpreadsheetApp: { getActiveSpreadsheet: () => book },
    PropertiesService: { getScriptProperties: () => store },
    LockService: { getScriptLock: () => lock },
    console: { log: log('log'), warn: log('warn'), error: log('error') },
    Date: FakeDate,
  };
  const load = new Function(...Object.keys(services), `${SCRIPT}\nreturn { install, submitted, drain };`);
  Object.assign(w, load(...Object.values(services)));
  w.queued = () => Object.keys(w.properties).filter((name) => name.startsWith('callbell.queue.'));
  return w;
}

const key = (secret) =>
  secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : Buffer.from(secret, 'utf8');

/** What a receiver of Standard Webhooks checks, by node's own crypto. */
function verify(request, secret = HEX) {
  const { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': given } = request.headers;
  assert.match(time, /^[0-9]{10}$/);
  assert.match(id, /^[A-Za-z0-9_-]+$/);
  const mac = createHmac('sha256', key(secret)).update(`${id}.${time}.${request.payload}`, 'utf8').digest('base64');
  assert.equal(given, `v1,${mac}`);
  assert.equal(request.url, URL_OF_DOOR);
  assert.equal(request.method, 'post');
  assert.equal(request.contentType, 'application/json');
  return JSON.parse(request.payload);
}

const item = (id, title, type, more = {}) => ({ getId: () => id, getTitle: () => title, getType: () => type, ...more });
const answered = (of, value) => ({ getItem: () => of, getResponse: () => value });
const FORM = { getId: () => '1FAIpQLSdExampleForm', getTitle: () => 'Quero saber mais' };

/** What a form's own trigger is handed. */
function ofForm(more = {}) {
  const grid = { asGridItem: () => ({ getRows: () => ['Segunda', 'Terça', 'Quarta'] }) };
  const ticks = { asCheckboxGridItem: () => ({ getRows: () => ['Manhã', 'Tarde'] }) };
  const responses = [
    answered(item(1111, 'Qual é o seu nome?', 'TEXT'), 'João Araújo 🌻'),
    answered(item(1112, 'Telefone (WhatsApp)', 'TEXT'), '(11) 98008-0001'),
    answered(item(1113, 'Cidade', 'LIST'), 'São Paulo'),
    answered(item(1114, 'Interesses', 'CHECKBOX'), ['Pilates', 'Avaliação física']),
    answered(item(1115, 'De 1 a 5, como nos conheceu?', 'SCALE'), '4'),
    answered(item(1116, 'Horários', 'GRID', grid), ['Manhã', null, 'Tarde']),
    answered(item(1117, 'Dias', 'CHECKBOX_GRID', ticks), [['Segunda', 'Terça'], null]),
    answered(item(1118, 'Nascimento', 'DATE'), '1990-02-28'),
    answered(item(1119, 'Observações', 'PARAGRAPH_TEXT'), ''),
  ];
  return {
    source: FORM,
    response: {
      getId: () => '2_ABaOnuexample',
      getTimestamp: () => new Date(Date.UTC(2026, 2, 16, 19, 0, 0)),
      getRespondentEmail: () => 'joao@example.com',
      getItemResponses: () => responses,
      ...more,
    },
  };
}

/** What a sheet's trigger is handed. */
function ofSheet({ row = 7, stamp = new Date(Date.UTC(2026, 2, 16, 19, 30, 0)), named, url } = {}) {
  const titles = ['Carimbo de data/hora', 'Seu nome', 'Celular', 'Cidade', 'Cidade', 'Interesses'];
  const book = { getId: () => '1AbCsheet', getName: () => 'Quero saber mais (respostas)' };
  const sheet = {
    getParent: () => book,
    getSheetId: () => 42,
    getLastColumn: () => titles.length,
    getFormUrl: () => (url === undefined ? 'https://docs.google.com/forms/d/1FAIpQLSdExampleForm/viewform' : url),
    getRange: (top, left, rows, columns) =>
      top === 1 && rows === 1
        ? { getDisplayValues: () => [titles.slice(left - 1, left - 1 + columns)] }
        : { getValue: () => (assert.deepEqual([top, left], [row, 1]), stamp) },
  };
  const namedValues = named ?? {
    'Carimbo de data/hora': ['16/03/2026 16:30:00'],
    Interesses: ['Pilates, Avaliação física'],
    'Seu nome': ['Luísa Peçanha'],
    Celular: ['11 98008-0002'],
    Cidade: ['Niterói', ''],
  };
  return { book, event: { range: { getSheet: () => sheet, getRow: () => row }, namedValues, values: [] } };
}

/** Compares a request with the file that the source is tested with. */
function fixture(name, request, secret) {
  const sent = { secret, headers: request.headers };
  const files = [
    [`${name}.json`, request.payload],
    [`${name}.sent.json`, `${JSON.stringify(sent, null, 2)}\n`],
  ];
  for (const [file, text] of files) {
    if (process.env.UPDATE) writeFileSync(FIXTURES + file, text);
    assert.equal(readFileSync(FIXTURES + file, 'utf8'), text, `${file}: UPDATE=1 writes it anew`);
  }
}

test('a form that was filled in is posted once, signed, text as it was typed', () => {
  const w = world({ form: FORM, secret: WHSEC });
  w.submitted(ofForm());
  assert.equal(w.requests.length, 1);
  const [request] = w.requests;
  const body = verify(request, WHSEC);
  assert.equal(request.headers['webhook-id'], 'gform_1FAIpQLSdExampleForm_2_ABaOnuexample');
  assert.deepEqual([body.type, body.timestamp], ['form.submitted', '2026-03-16T19:00:05.000Z']);
  const { answers, ...rest } = body.data;
  assert.deepEqual(rest, {
    formId: '1FAIpQLSdExampleForm',
    title: 'Quero saber mais',
    responseId: '2_ABaOnuexample',
    submittedAt: '2026-03-16T19:00:00.000Z',
    respondentEmail: 'joao@example.com',
  });
  const values = Object.fromEntries(answers.map((answer) => [answer.itemId, answer.value]));
  assert.deepEqual(values, {
    1111: 'João Araújo 🌻',
    1112: '(11) 98008-0001',
    1113: 'São Paulo',
    1114: ['Pilates', 'Avaliação física'],
    1115: '4',
    1116: ['Segunda: Manhã', 'Quarta: Tarde'],
    1117: ['Manhã: Segunda, Terça'],
    1118: '1990-02-28',
  });
  assert.deepEqual(w.logged, []);
  assert.deepEqual(w.queued(), []);
  fixture('script-form', request, WHSEC);
});

test('a sheet that a form fills is posted by titles, in the order of its columns', () => {
  const { book, event } = ofSheet();
  const w = world({ book });
  w.submitted(event);
  const [request] = w.requests;
  const { data } = verify(request);
  assert.equal(data.responseId, `1AbCsheet-42-7-${Date.UTC(2026, 2, 16, 19, 30) / 1000}`);
  assert.deepEqual([data.formId, data.submittedAt], ['1FAIpQLSdExampleForm', '2026-03-16T19:30:00.000Z']);
  assert.deepEqual(
    data.answers.map((answer) => [answer.title, answer.type, answer.value]),
    [
      ['Seu nome', 'SHEET', 'Luísa Peçanha'],
      ['Celular', 'SHEET', '11 98008-0002'],
      ['Cidade', 'SHEET', 'Niterói'],
      ['Interesses', 'SHEET', 'Pilates, Avaliação física'],
    ],
  );
  fixture('script-sheet', request, HEX);
});

test('an answer has one id however often Google tells of it, and another row or time another', () => {
  const id = (options) => {
    const { book, event } = ofSheet(options);
    const w = world({ book });
    w.submitted(event);
    verify(w.requests[0]);
    return w.requests[0].headers['webhook-id'];
  };
  assert.equal(id({}), id({}));
  const others = [{}, { row: 8 }, { stamp: new Date(Date.UTC(2026, 2, 17)) }, { stamp: 'no date' }, { url: null }];
  assert.equal(new Set(others.map(id)).size, others.length);
});

test('an answer without an id is told apart by its time, and no address is no address', () => {
  const w = world({ form: FORM });
  w.submitted(ofForm({ getId: () => null, getRespondentEmail: () => '' }));
  const { data } = verify(w.requests[0]);
  assert.equal(data.responseId, `t${Date.UTC(2026, 2, 16, 19)}`);
  assert.ok(!('respondentEmail' in data));
});

test('what nobody takes is tried three times, signed anew under the same id', () => {
  for (const answers of [[500, 429, 200], ['exception', 503, 202]]) {
    const w = world({ form: FORM, answers });
    w.submitted(ofForm());
    assert.equal(w.requests.length, 3);
    assert.deepEqual(w.slept, [2000, 8000]);
    w.requests.forEach((request) => verify(request));
    const header = (name) => new Set(w.requests.map((request) => request.headers[name])).size;
    assert.deepEqual([header('webhook-id'), header('webhook-timestamp'), header('webhook-signature')], [1, 3, 3]);
    assert.equal(new Set(w.requests.map((request) => request.payload)).size, 1);
    assert.deepEqual(w.queued(), []);
  }
});

test('what fails waits in the properties and goes out later, the same bytes under the same id', () => {
  const w = world({ form: FORM, answers: [500, 'exception', 503, 503] });
  w.submitted(ofForm());
  assert.equal(w.queued().length, 1);
  const [first] = w.requests;
  w.ms += 10 * 60 * 1000;
  w.drain();
  assert.equal(w.queued().length, 1, 'still nobody there');
  w.drain();
  assert.deepEqual(w.queued(), []);
  const last = w.requests.at(-1);
  verify(last);
  assert.equal(last.payload, first.payload);
  assert.equal(last.headers['webhook-id'], first.headers['webhook-id']);
  assert.notEqual(last.headers['webhook-timestamp'], first.headers['webhook-timestamp']);
  w.drain();
  assert.equal(w.requests.at(-1), last, 'nothing is sent twice');
  assert.equal(w.locked, false);
});

test('a refusal is not repeated at once, waits, and becomes an error of which Google tells', () => {
  const w = world({ form: FORM, answers: [401, 401, 401] });
  w.submitted(ofForm());
  assert.equal(w.requests.length, 1);
  assert.equal(w.queued().length, 1);
  w.ms += 10 * 60 * 1000;
  w.drain();
  w.ms += 60 * 60 * 1000;
  assert.throws(() => w.drain(), /1 answer\(s\) wait.*401.*CALLBELL_SECRET/);
  assert.equal(w.locked, false);
  w.drain();
  assert.deepEqual(w.queued(), [], 'mended');
});

test('what will never be taken is dropped, and so is what waited for a week', () => {
  for (const status of [400, 413]) {
    const w = world({ form: FORM, answers: [status] });
    w.submitted(ofForm());
    assert.deepEqual([w.requests.length, w.queued().length], [1, 0]);
  }
  const w = world({ form: FORM, answers: [401] });
  w.submitted(ofForm());
  w.ms += 8 * 24 * 60 * 60 * 1000;
  w.drain();
  assert.deepEqual([w.requests.length, w.queued().length], [1, 0]);
  assert.ok(w.logged.some((line) => line.includes('given up')));
});

test('a secret that is gone loses no answer', () => {
  const w = world({ form: FORM, secret: '' });
  w.submitted(ofForm());
  assert.deepEqual([w.requests.length, w.queued().length], [0, 1]);
  w.properties.CALLBELL_SECRET = HEX;
  w.drain();
  assert.deepEqual(w.queued(), []);
  verify(w.requests[0]);
});

test('a long answer waits in pieces that a property can hold', () => {
  const long = Array.from({ length: 12 }, (_, index) =>
    answered(item(index, `Pergunta ${index}`, 'PARAGRAPH_TEXT'), 'çãé🌻'.repeat(1000)),
  );
  const w = world({ form: FORM, answers: [401] });
  w.submitted(ofForm({ getItemResponses: () => long }));
  assert.ok(w.queued().length > 5);
  // Half of it lost: it is never sent.
  const [piece] = w.queued();
  const held = w.properties[piece];
  delete w.properties[piece];
  w.drain();
  assert.equal(w.requests.length, 1);
  w.properties[piece] = held;
  w.drain();
  assert.deepEqual(w.queued(), []);
  const { data } = verify(w.requests[1]);
  assert.equal(Array.from(data.answers[0].value).length, 2000, 'cut at whole characters');
});

test('too many that wait push out the oldest', () => {
  const w = world({ form: FORM });
  for (let index = 0; index < 45; index++) {
    w.answers.push(401);
    w.ms += 1000;
    w.submitted(ofForm({ getId: () => `r${index}` }));
  }
  const ids = w.queued().map((name) => name.split('.')[3]);
  assert.equal(ids.length, 40);
  assert.ok(ids[0].endsWith('_r5'));
  w.requests.length = 0;
  w.drain();
  assert.deepEqual(w.requests.map((request) => request.headers['webhook-id']), ids, 'oldest first');
});

test('after some failures in a row the rest waits for the next run', () => {
  const w = world({ form: FORM });
  for (let index = 0; index < 6; index++) {
    w.answers.push(401);
    w.ms += 1000;
    w.submitted(ofForm({ getId: () => `r${index}` }));
  }
  w.requests.length = 0;
  w.answers = [503, 'exception', 503];
  w.drain();
  assert.equal(w.requests.length, 3);
  w.drain();
  assert.equal(w.queued().length, 0);
});

test('two runs that drain do not meet', () => {
  const w = world({ form: FORM, answers: [401] });
  w.submitted(ofForm());
  w.locked = true;
  w.drain();
  assert.equal(w.requests.length, 1);
});

test('install makes two triggers, its own anew, and tries the address', () => {
  const { book } = ofSheet();
  for (const [place, id] of [[{ form: FORM }, '1FAIpQLSdExampleForm'], [{ book }, '1AbCsheet']]) {
    const w = world({ ...place });
    const other = { getHandlerFunction: () => 'somethingElse' };
    w.triggers.push(other);
    w.install();
    w.install();
    assert.deepEqual(w.triggers.map((trigger) => trigger.getHandlerFunction()), ['somethingElse', 'submitted', 'drain']);
    assert.deepEqual(w.triggers.slice(1).map((trigger) => trigger.kind), [id, 'every 10']);
    assert.equal(verify(w.requests[0]).type, 'ping');
  }
});

test('install says what is wrong', () => {
  const cases = [
    [{ form: FORM, url: 'http://a.example/forms/google-forms' }, /CALLBELL_URL has to be the https address/],
    [{ form: FORM, url: '' }, /CALLBELL_URL/],
    [{ form: FORM, secret: '' }, /CALLBELL_SECRET is empty/],
    [{ form: FORM, secret: 'whsec_' }, /CALLBELL_SECRET is empty/],
    [{ form: FORM, secret: 'whsec_no base64' }, /base64 has to follow/],
    [{}, /open the script from the form or its sheet/],
    [{ form: FORM, answers: [401] }, /answered 401.*CALLBELL_SECRET/],
    [{ form: FORM, answers: [404] }, /answered 404.*CALLBELL_URL/],
    [{ form: FORM, answers: ['exception'] }, /Nobody answers/],
    [{ form: FORM, answers: [302] }, /answered 302/],
  ];
  for (const [options, message] of cases) {
    assert.throws(() => world(options).install(), message);
  }
  assert.throws(() => world({ form: FORM }).submitted(), /Run install instead/);
});

test('no log line says what was answered', () => {
  const w = world({ form: FORM, answers: [500, 'exception', 503, 401] });
  w.submitted(ofForm());
  w.drain();
  w.ms += 9 * 24 * 60 * 60 * 1000;
  w.drain();
  assert.ok(w.logged.length > 0);
  for (const line of w.logged) {
    assert.ok(!/João|98008|São Paulo|joao@|Pilates|5f2c9d0e/.test(line), line);
  }
});
