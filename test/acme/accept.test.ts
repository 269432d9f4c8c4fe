import assert from 'node:assert/strict'
import { test } from 'node:test'
import { preferred } from '../../src/acme/accept.js'

const types = ['application/pem-certificate-chain', 'application/pkix-cert']
const [chain, one] = types

test('RFC 9110 §12.5.1: the media type that a client likes best', () => {
  const table: [accept: string | undefined, expected: string | undefined][] = [
    [undefined, chain],
    ['*/*', chain],
    ['application/*', chain],
    ['application/pkix-cert', one],
    ['Application/PKIX-Cert', one],
    ['application/pkix-cert, application/pem-certificate-chain', one],
    ['application/pkix-cert;q=0.5, application/pem-certificate-chain', chain],
    ['application/pkix-cert; q=0.9, */*; q=0.1', one],
    ['application/pem-certificate-chain;q=0, */*', one],
    ['*/*, application/pkix-cert', one],
    ['application/pkix-cert;q=0', undefined],
    ['text/html', undefined],
    ['', undefined],
    [',;q,=;;', undefined],
    ['application/pkix-cert;q=zero', undefined],
  ]
  for (const [accept, expected] of table) assert.equal(preferred(accept, types), expected, String(accept))
})
