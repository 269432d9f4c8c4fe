/** Revocation signed by the certificate's own key, which stays in the browser. */
import { useState } from 'preact/hooks'
import { equalBytes } from '../../../src/pki/bytes.js'
import type { AcmeClient } from '../acme/client.js'
import { derFrom } from '../keys/base64.js'
import { KeyProblem } from '../keys/key-problem.js'
import { sentenceOf, useAction } from '../request/hooks.js'
import { mineText as text } from '../text/en-mine.js'
import { Field } from '../ui/field.js'
import { Notice } from '../ui/notice.js'
import { PemField } from './pem-field.js'

/** What is wrong with one of the two fields. */
class Mistake extends Error {
  constructor(
    readonly field: 'key' | 'certificate',
    message: string,
  ) {
    super(message)
  }
}

const readBoth = async (key: Uint8Array, certificate: Uint8Array) => {
  // Loaded when somebody wants it.
  const [{ readPrivateKey, signerOf, spkiOf }, { readCertificate }] = await Promise.all([
    import('../keys/private-keys.js'),
    import('../keys/read.js'),
  ])
  const der = derFrom(certificate, 'CERTIFICATE')
  let spki: Uint8Array
  try {
    if (!der) throw new Error('not a certificate')
    spki = readCertificate(der).spki
  } catch {
    throw new Mistake('certificate', text.key.noCertificate)
  }
  try {
    const signer = await signerOf(readPrivateKey(key))
    if (!equalBytes(await spkiOf(signer), spki)) throw new Mistake('key', text.key.mismatch)
    return { signer, der: der as Uint8Array }
  } catch (error) {
    throw error instanceof KeyProblem ? new Mistake('key', text.key.problems[error.reason] ?? error.reason) : error
  }
}

export const RevokeByKey = ({ client }: { client: AcmeClient }) => {
  const [key, setKey] = useState(new Uint8Array())
  const [certificate, setCertificate] = useState(new Uint8Array())
  const [done, setDone] = useState(false)
  const { busy, error, run } = useAction()
  const submit = (event: Event) => {
    event.preventDefault()
    setDone(false)
    run(async () => {
      const { signer, der } = await readBoth(key, certificate)
      await client.revokeByKey(signer, der)
      setDone(true)
      setKey(new Uint8Array())
    })
  }
  const mistake = error instanceof Mistake ? error : null
  return (
    <details>
      <summary>{text.key.title}</summary>
      <p>{text.key.lead}</p>
      <form onSubmit={submit} noValidate>
        <Field label={text.key.certificate} help={text.key.certificateHelp} error={mistake?.field === 'certificate' ? mistake.message : null}>
          <PemField name="revokeCertificate" bytes={certificate} onBytes={setCertificate} />
        </Field>
        <Field label={text.key.key} help={text.key.keyHelp} error={mistake?.field === 'key' ? mistake.message : null}>
          <PemField name="revokeKey" bytes={key} onBytes={setKey} />
        </Field>
        {error !== null && !mistake && (
          <Notice kind="bad">
            <p>{sentenceOf(error)}</p>
          </Notice>
        )}
        <button type="submit" disabled={busy}>
          {text.key.submit}
        </button>
      </form>
      <div role="status">
        {done && (
          <Notice kind="good">
            <p>{text.key.done}</p>
          </Notice>
        )}
      </div>
    </details>
  )
}
