import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseConfig } from '../src/config.js'
import { createLogging, secretsOf } from '../src/logging.js'

describe('log', () => {
  const lines: string[] = []
  const { log, hide } = createLogging('debug', (line) => lines.push(line))
  const last = () => JSON.parse(lines.at(-1) ?? '{}')

  it('is one JSON object a line with time, level and message', () => {
    log.child({ requestId: 'r1' }).info({ status: 200 }, 'request')
    assert.match(lines.at(-1) ?? '', /^\{.*\}\n$/)
    const { time, ...rest } = last()
    assert.ok(!Number.isNaN(Date.parse(time)))
    assert.deepEqual(rest, { level: 'info', requestId: 'r1', status: 200, msg: 'request' })
  })

  it('hides fields that are secrets by name, at any usual depth', () => {
    log.info({ passphrase: 'p-1234567', request: { token: 't-1234567', headers: { cookie: 'c-1234567', authorization: 'a-1234567' } } }, 'x')
    assert.doesNotMatch(lines.at(-1) ?? '', /[ptca]-1234567/)
  })

  it('hides them in lists, in errors and in what a child has always, and changes nothing that it was given', () => {
    const given = { list: [{ token: 't-1234567', kept: 1 }] }
    const error = Object.assign(new Error('no'), { password: 'e-1234567' })
    log.child({ secret: 's-1234567' }).error({ ...given, err: error, note: 'here' }, 'x')
    assert.doesNotMatch(lines.at(-1) ?? '', /[tes]-1234567/)
    assert.deepEqual(last().list, [{ token: '[hidden]', kept: 1 }])
    assert.deepEqual([last().err.message, last().err.type, last().note], ['no', 'Error', 'here'])
    assert.deepEqual([given.list[0]?.token, error.password], ['t-1234567', 'e-1234567'])
  })

  it('hides secrets by value, in messages, errors and stack traces too', () => {
    const config = parseConfig(
      { DATABASE_URL: 'postgresql://ica:s3cr%22et@db/ica', SMTP_URL: 'smtp://u:m%40ilpass@h', ICA_MAIL_FROM: 'a@b.example' },
      '/',
    )
    for (const secret of secretsOf(config)) hide(secret)
    hide('correct horse battery')
    const error = new Error('cannot connect to postgresql://ica:s3cr"et@db with s3cr%22et', { cause: new Error('m@ilpass') })
    log.error({ err: error, note: 'correct horse battery' }, 'failed: correct horse battery')
    assert.doesNotMatch(lines.at(-1) ?? '', /s3cr|m@ilpass|m%40ilpass|correct horse/)
    assert.match(last().msg, /^failed: \[hidden\]$/)
    assert.match(last().err.stack, /logging\.test/)
  })

  it('does not blot out ordinary words for a short value', () => {
    hide('a')
    log.info({}, 'a banana')
    assert.equal(last().msg, 'a banana')
  })
})
