/** RFC 8555 §6.7: no type of problem is made up. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ErrorCode, IcaError, toProblem } from '../../src/errors.js'

/** The registry "ACME Error Types", as far as it is used here: RFC 8555 §9.7.4, RFC 9773 §7.4, draft-ietf-acme-profiles §6.3. */
const registered = [
  'accountDoesNotExist',
  'alreadyReplaced',
  'alreadyRevoked',
  'badCSR',
  'badNonce',
  'badPublicKey',
  'badRevocationReason',
  'badSignatureAlgorithm',
  'caa',
  'connection',
  'dns',
  'externalAccountRequired',
  'incorrectResponse',
  'invalidContact',
  'invalidProfile',
  'malformed',
  'orderNotReady',
  'rateLimited',
  'rejectedIdentifier',
  'serverInternal',
  'tls',
  'unauthorized',
  'unsupportedContact',
  'unsupportedIdentifier',
  'userActionRequired',
] as const

/** Codes that are no type themselves. A code that is added to the table has to be added here or to the registry, or this does not compile. */
const others: Record<Exclude<ErrorCode, (typeof registered)[number]>, (typeof registered)[number]> = {
  accountClosed: 'unauthorized',
  conflict: 'malformed',
  methodNotAllowed: 'malformed',
  notFound: 'malformed',
  payloadTooLarge: 'malformed',
  unavailable: 'serverInternal',
  unsupportedMediaType: 'malformed',
}

test('RFC 8555 §6.7: the types of the ACME namespace are the registered ones', () => {
  const expected: [string, string][] = [...registered.map((type): [string, string] => [type, type]), ...Object.entries(others)]
  for (const [code, type] of expected)
    assert.equal(toProblem(new IcaError(code as ErrorCode, 'why')).type, `urn:ietf:params:acme:error:${type}`, code)
})
