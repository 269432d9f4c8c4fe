import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileNameRules, parseRuleName } from '../../src/issuance/name-rules.js'
import type { NameList } from '../../src/model.js'

const rules = (...entries: [NameList, string][]) => compileNameRules(entries.map(([list, name]) => ({ list, name, reason: '', createdAt: 0 })))
const refused = (by: ReturnType<typeof rules>, value: string): string | null =>
  by.refusing({ type: value.startsWith('_') ? 'srv' : 'dns', value })?.list ?? null

test('rules are written as names, with a dot for what lies below', () => {
  assert.equal(parseRuleName('Example.COM'), 'example.com')
  assert.equal(parseRuleName('.example.com'), '.example.com')
  assert.equal(parseRuleName('.'), '.')
  assert.equal(parseRuleName('.ru'), '.ru')
  assert.equal(parseRuleName('bücher.example'), 'xn--bcher-kva.example')
  for (const bad of ['', '..', '*.example.com', 'a..b', 'a b', 'http://a.example', 'a@b.example', 'example.com.'])
    assert.throws(() => parseRuleName(bad), /"/, bad)
})

test('exact names and suffixes', () => {
  const by = rules(['deny', 'a.example'], ['deny', '.b.example'], ['high-risk', '.c.example'])
  for (const name of ['a.example', 'b.example', 'x.y.b.example', '_xmpp-server.b.example', '*.b.example'])
    assert.equal(refused(by, name), 'deny', name)
  for (const name of ['x.a.example', 'ab.example', 'xb.example', 'example']) assert.equal(refused(by, name), null, name)
  assert.equal(refused(by, 'chat.c.example'), 'high-risk')
  assert.equal(refused(rules(), 'a.example'), null)
})

test('the closest rule decides; of equally close ones deny, then allow, then high-risk', () => {
  const by = rules(
    ['deny', '.'],
    ['allow', '.org.example'],
    ['high-risk', '.bank.org.example'],
    ['allow', 'chat.bank.org.example'],
    ['high-risk', 'x.example'],
    ['allow', 'x.example'],
    ['allow', 'y.example'],
    ['deny', 'y.example'],
  )
  assert.equal(refused(by, 'other.example'), 'deny')
  assert.equal(refused(by, 'a.org.example'), null)
  assert.equal(refused(by, 'www.bank.org.example'), 'high-risk')
  assert.equal(refused(by, 'chat.bank.org.example'), null)
  assert.equal(refused(by, 'x.chat.bank.org.example'), 'high-risk')
  assert.equal(refused(by, 'x.example'), null)
  assert.equal(refused(by, 'y.example'), 'deny')
})

test('a wildcard is refused for what it would cover', () => {
  const by = rules(
    ['deny', 'login.a.example'],
    ['high-risk', '.deep.er.b.example'],
    ['high-risk', '.c.example'],
    ['allow', '.c.example'],
    ['deny', 'x.c.example'],
    ['allow', 'x.d.example'],
  )
  assert.equal(refused(by, '*.a.example'), 'deny')
  assert.equal(refused(by, 'a.example'), null)
  assert.equal(refused(by, '*.b.example'), null)
  assert.equal(refused(by, '*.er.b.example'), 'high-risk')
  assert.equal(refused(by, '*.c.example'), 'deny')
  assert.equal(refused(by, '*.d.example'), null)
})
