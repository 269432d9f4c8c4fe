import assert from 'node:assert/strict'
import { createHash, verify, X509Certificate } from 'node:crypto'
import { describe, it } from 'node:test'
import * as asn1js from 'asn1js'
import * as pkijs from 'pkijs'
import type { RevocationReason } from '../../src/model.js'
import { makeResponder } from '../../src/pki/hierarchy.js'
import { keyBits, nodeSigner } from '../../src/pki/keys.js'
import { encodeCertId } from '../../src/pki/ocsp-certid.js'
import { encodeOcspError, encodeOcspResponse, ocspResponder, type SingleResponse } from '../../src/pki/ocsp-response.js'
import { day, ecKey, edKey, makeCa, serial as newSerial, now, rsaKey } from './fixtures.js'

const { issuer } = await makeCa()
const serial = '4a0102030405060708090a0b0c0d0e0f'
const certId = encodeCertId(issuer, 'sha1', serial)
const hex = (bytes: Uint8Array | ArrayBuffer): string => Buffer.from(bytes as ArrayBuffer).toString('hex')

const newResponder = async (key = ecKey()) => {
  const signer = nodeSigner(key)
  const subject = { commonName: 'OCSP responder' }
  const certificate = await makeResponder({
    serial: newSerial(),
    publicKey: signer.publicKey,
    issuer,
    notBefore: now - day,
    notAfter: now + day,
    subject,
  })
  return { responder: ocspResponder(signer, certificate), certificate, signer }
}

const one = (status: SingleResponse['status'], more: Partial<SingleResponse> = {}): SingleResponse => ({
  certId,
  status,
  thisUpdate: now + 123,
  nextUpdate: now + day + 999,
  ...more,
})

const read = (der: Uint8Array): { response: pkijs.OCSPResponse; basic: pkijs.BasicOCSPResponse } => {
  const response = pkijs.OCSPResponse.fromBER(der.slice().buffer)
  assert.ok(response.responseBytes)
  assert.equal(response.responseBytes.responseType, '1.3.6.1.5.5.7.48.1.1')
  return { response, basic: pkijs.BasicOCSPResponse.fromBER(response.responseBytes.response.valueBlock.valueHexView.slice().buffer) }
}

const statusTag = (single: pkijs.SingleResponse | undefined): number => single?.certStatus.idBlock.tagNumber

describe('encodeOcspResponse', () => {
  it('says good, with the responder by key and its certificate', async () => {
    const { responder, certificate, signer } = await newResponder()
    const der = await encodeOcspResponse(responder, { producedAt: now + 999, answers: [one({ status: 'good' })], nonce: null })
    const { response, basic } = read(der)
    assert.equal(response.responseStatus.valueBlock.valueDec, 0)
    const data = basic.tbsResponseData
    assert.ok(data.responderID instanceof asn1js.OctetString)
    const keyHash = createHash('sha1').update(keyBits(signer.publicKey.spki)).digest()
    assert.equal(hex(data.responderID.valueBlock.valueHexView), hex(keyHash))
    assert.equal(data.producedAt.getTime(), now)
    assert.equal(data.responseExtensions, undefined)
    const [single] = data.responses
    assert.ok(single)
    assert.equal(hex(single.certID.toSchema().toBER()), hex(certId))
    assert.equal(statusTag(single), 0)
    assert.equal(single.thisUpdate.getTime(), now)
    assert.equal(single.nextUpdate?.getTime(), now + day)
    assert.equal(single.singleExtensions, undefined)
    assert.equal(hex(basic.certs?.[0]?.toSchema().toBER() as ArrayBuffer), hex(certificate))
    // Fractions of a second are forbidden (RFC 5280 §4.1.2.5.2).
    assert.doesNotMatch(Buffer.from(der).toString('latin1'), /\d{14}\./)
  })

  it('is signed by the responder, with each kind of key', async () => {
    for (const key of [ecKey(), ecKey('P-384'), rsaKey(), edKey()]) {
      const { responder, certificate } = await newResponder(key)
      const { basic } = read(await encodeOcspResponse(responder, { producedAt: now, answers: [one({ status: 'good' })], nonce: null }))
      const digest =
        { 'P-384': 'sha384', Ed25519: null }[responder.signer.publicKey.kind as string] ?? (key.asymmetricKeyType === 'ed25519' ? null : 'sha256')
      const signed = Buffer.from(basic.tbsResponseData.tbsView)
      assert.ok(verify(digest, signed, new X509Certificate(certificate).publicKey, basic.signature.valueBlock.valueHexView))
    }
  })

  it('says revoked with the reason, and leaves out the unspecified one', async () => {
    const { responder } = await newResponder()
    const codes: [RevocationReason, number | undefined][] = [
      ['keyCompromise', 1],
      ['superseded', 4],
      ['privilegeWithdrawn', 9],
      ['unspecified', undefined],
    ]
    for (const [reason, code] of codes) {
      const revocation = { revokedAt: now - 5000 + 250, reason }
      const { basic } = read(await encodeOcspResponse(responder, { producedAt: now, answers: [one({ status: 'revoked', revocation })], nonce: null }))
      const [single] = basic.tbsResponseData.responses
      assert.equal(statusTag(single), 1)
      const [time, explicitReason] = single?.certStatus.valueBlock.value ?? []
      assert.equal(time.toDate().getTime(), now - 5000)
      assert.equal(explicitReason?.valueBlock.value[0].valueBlock.valueDec, code)
      assert.equal(single?.singleExtensions, undefined)
    }
  })

  it('says unknown', async () => {
    const { responder } = await newResponder()
    const { basic } = read(await encodeOcspResponse(responder, { producedAt: now, answers: [one({ status: 'unknown' })], nonce: null }))
    assert.equal(statusTag(basic.tbsResponseData.responses[0]), 2)
  })

  it('answers for several certificates in their order, and echoes the nonce', async () => {
    const { responder } = await newResponder()
    const second = encodeCertId(issuer, 'sha256', '05', 'absent')
    const answers = [one({ status: 'good' }), one({ status: 'unknown' }, { certId: second })]
    const nonce = Uint8Array.from({ length: 32 }, (_, i) => i)
    const { tbsResponseData: data } = read(await encodeOcspResponse(responder, { producedAt: now, answers, nonce })).basic
    assert.deepEqual(data.responses.map(statusTag), [0, 2])
    assert.deepEqual(
      data.responses.map(({ certID }) => hex(certID.toSchema().toBER())),
      [hex(certId), hex(second)],
    )
    assert.deepEqual(
      data.responseExtensions?.map(({ extnID, critical, extnValue }) => [extnID, critical, hex(extnValue.valueBlock.valueHexView)]),
      [['1.3.6.1.5.5.7.48.1.2', false, `0420${hex(nonce)}`]],
    )
  })
})

describe('encodeOcspError', () => {
  it('is a status and nothing else', () => {
    assert.equal(hex(encodeOcspError('malformedRequest')), '30030a0101')
    assert.equal(hex(encodeOcspError('internalError')), '30030a0102')
    assert.equal(hex(encodeOcspError('tryLater')), '30030a0103')
    assert.equal(hex(encodeOcspError('unauthorized')), '30030a0106')
    const { responseStatus, responseBytes } = pkijs.OCSPResponse.fromBER(encodeOcspError('tryLater').slice().buffer)
    assert.equal(responseStatus.valueBlock.valueDec, 3)
    assert.equal(responseBytes, undefined)
  })
})
