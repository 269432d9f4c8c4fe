/**
 * The certificates of a TLS handshake as the server sent them, in their order and with everything that is superfluous: node:tls shows only the path that OpenSSL
 * made of them. Up to TLS 1.2 they go in clear (RFC 5246 §7.4.2); in TLS 1.3 (RFC 8446 §4.4.2) they are decrypted with the secret that the client itself holds.
 */
import { createDecipheriv, createHmac } from 'node:crypto'

const changeCipherSpec = 20
const handshake = 22
const applicationData = 23
const certificateMessage = 11

type TlsRecord = { type: number; header: Buffer; body: Buffer }

const records = (bytes: Buffer): TlsRecord[] => {
  const found: TlsRecord[] = []
  for (let at = 0; at + 5 <= bytes.length; ) {
    const end = at + 5 + bytes.readUInt16BE(at + 3)
    if (end > bytes.length) break
    found.push({ type: bytes.readUInt8(at), header: bytes.subarray(at, at + 5), body: bytes.subarray(at + 5, end) })
    at = end
  }
  return found
}

const suites: Record<string, { cipher: 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305'; key: number; hash: string }> = {
  TLS_AES_128_GCM_SHA256: { cipher: 'aes-128-gcm', key: 16, hash: 'sha256' },
  TLS_AES_256_GCM_SHA384: { cipher: 'aes-256-gcm', key: 32, hash: 'sha384' },
  TLS_CHACHA20_POLY1305_SHA256: { cipher: 'chacha20-poly1305', key: 32, hash: 'sha256' },
}

/** HKDF-Expand-Label (RFC 8446 §7.1) with an empty context, for lengths of one block. */
const expand = (secret: Buffer, label: string, length: number, hash: string): Buffer => {
  const full = Buffer.from(`tls13 ${label}`, 'latin1')
  const info = Buffer.concat([Buffer.from([0, length, full.length]), full, Buffer.from([0, 1])])
  return createHmac(hash, secret).update(info).digest().subarray(0, length)
}

/** The handshake messages inside of the encrypted records, up to the first that another key is for. */
const decrypt = (list: TlsRecord[], suite: string, secret: Buffer): Buffer => {
  const known = suites[suite]
  if (!known) return Buffer.alloc(0)
  const key = expand(secret, 'key', known.key, known.hash)
  const iv = expand(secret, 'iv', 12, known.hash)
  const parts: Buffer[] = []
  let sequence = 0
  for (const { header, body } of list.filter(({ type }) => type === applicationData)) {
    const nonce = Buffer.from(iv)
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ sequence++) >>> 0, 8)
    // One type for three ciphers: node's own types part GCM from ChaCha20.
    const decipher = createDecipheriv(known.cipher as 'aes-128-gcm', key, nonce, { authTagLength: 16 })
    decipher.setAAD(header)
    decipher.setAuthTag(body.subarray(-16))
    try {
      const plain = Buffer.concat([decipher.update(body.subarray(0, -16)), decipher.final()])
      let end = plain.length
      while (end > 0 && plain[end - 1] === 0) end--
      if (plain[end - 1] === handshake) parts.push(plain.subarray(0, end - 1))
    } catch {
      break
    }
  }
  return Buffer.concat(parts)
}

const inClear = (list: TlsRecord[]): Buffer => {
  const end = list.findIndex(({ type }) => type === changeCipherSpec)
  return Buffer.concat((end < 0 ? list : list.slice(0, end)).filter(({ type }) => type === handshake).map(({ body }) => body))
}

/** The entries of a Certificate message; in TLS 1.3 each has extensions behind it. */
const entries = (message: Buffer, isTls13: boolean): Uint8Array[] => {
  let at = isTls13 ? 1 + message.readUInt8(0) : 0
  const end = Math.min(message.length, at + 3 + message.readUIntBE(at, 3))
  const found: Uint8Array[] = []
  for (at += 3; at + 3 <= end; ) {
    const length = message.readUIntBE(at, 3)
    found.push(new Uint8Array(message.subarray(at + 3, at + 3 + length)))
    at += 3 + length
    if (isTls13) at += 2 + message.readUInt16BE(at)
  }
  return found
}

/**
 * The DER certificates that a server presented, in its order; empty where they can't be read.
 * @param bytes all octets from the server since the ClientHello, at least up to the end of its Certificate message
 * @param suite the IANA name of the cipher suite
 * @param secret SERVER_HANDSHAKE_TRAFFIC_SECRET of the key log, null before TLS 1.3
 */
export const presentedChain = (bytes: Buffer, suite: string, secret: Buffer | null): Uint8Array[] => {
  try {
    const list = records(bytes)
    const messages = secret ? decrypt(list, suite, secret) : inClear(list)
    for (let at = 0; at + 4 <= messages.length; ) {
      const end = at + 4 + messages.readUIntBE(at + 1, 3)
      if (messages.readUInt8(at) === certificateMessage) return entries(messages.subarray(at + 4, end), secret !== null)
      at = end
    }
  } catch {
    // Lengths that lead nowhere, records that no cipher takes: a stranger wrote them.
  }
  return []
}
