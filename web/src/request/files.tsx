/** The files of a certificate, made here from what this browser has. */
import { useMemo, useState } from 'preact/hooks'
import { fileNames } from '../guides/servers.js'
import { pemEncode } from '../keys/base64.js'
import { requestText as text } from '../text/en-request.js'
import { Download } from '../ui/download.js'
import { Field } from '../ui/field.js'
import { Notice } from '../ui/notice.js'
import { Busy } from '../ui/spinner.js'
import type { Draft } from './draft.js'
import { sentenceOf, useAction } from './hooks.js'

const pemType = 'application/x-pem-file'
const shortest = 4

export const passwordProblem = (password: string): string | null => {
  if (/[^ -~]/.test(password)) return text.certificate.passwordAscii
  return password.length < shortest ? text.certificate.passwordShort : null
}

type FilesProps = { draft: Draft; chain: Uint8Array[]; pem: string; onSaved: () => void }

export const Files = ({ draft, chain, pem, onSaved }: FilesProps) => {
  const names = fileNames(draft.domain)
  const key = draft.key.kind === 'new' ? draft.key.pkcs8 : null
  const keyPem = useMemo(() => (key ? pemEncode('PRIVATE KEY', key) : null), [key])
  const leaf = chain[0] as Uint8Array
  return (
    <section>
      <h2>{text.certificate.files}</h2>
      <p class="row">
        {keyPem && (
          // A click is all that a page ever learns of a download.
          <span onClickCapture={onSaved}>
            <Download name={names.key} type={pemType} bytes={keyPem}>
              {text.certificate.key}
            </Download>
          </span>
        )}
        <Download name={names.chain} type={pemType} bytes={pem}>
          {text.certificate.chain}
        </Download>
        {keyPem && (
          <span onClickCapture={onSaved}>
            <Download name={names.both} type={pemType} bytes={keyPem + pem}>
              {text.certificate.both}
            </Download>
          </span>
        )}
        <Download name={names.der} type="application/pkix-cert" bytes={leaf}>
          {text.certificate.der}
        </Download>
      </p>
      {key ? (
        <Pkcs12 pkcs8={key} chain={chain} domain={draft.domain} onSaved={onSaved} />
      ) : (
        <p>{draft.key.kind === 'csr' ? text.certificate.own : text.certificate.removed}</p>
      )}
    </section>
  )
}

const Pkcs12 = ({ pkcs8, chain, domain, onSaved }: { pkcs8: Uint8Array; chain: Uint8Array[]; domain: string; onSaved: () => void }) => {
  const [password, setPassword] = useState('')
  const [problem, setProblem] = useState<string | null>(null)
  const [file, setFile] = useState<Uint8Array | null>(null)
  const { busy, error, run } = useAction()
  const name = fileNames(domain).p12
  const submit = (event: Event) => {
    event.preventDefault()
    const found = passwordProblem(password)
    setProblem(found)
    setFile(null)
    if (found) return
    run(async () => {
      const { makePkcs12 } = await import('../keys/pkcs12.js')
      setFile(await makePkcs12(pkcs8, chain, password, domain))
    })
  }
  return (
    <details>
      <summary>{text.certificate.p12}</summary>
      <form onSubmit={submit} noValidate>
        <Field label={text.certificate.password} help={text.certificate.passwordHelp} error={problem}>
          <input
            name="p12password"
            type="password"
            autocomplete="new-password"
            value={password}
            onInput={(event) => {
              setPassword(event.currentTarget.value)
              setFile(null)
            }}
          />
        </Field>
        <button type="submit" disabled={busy}>
          {text.certificate.p12Make}
        </button>
      </form>
      {busy && <Busy label={text.certificate.p12Busy} />}
      {error !== null && (
        <Notice kind="bad">
          <p>{sentenceOf(error)}</p>
        </Notice>
      )}
      {file && (
        <p onClickCapture={onSaved}>
          <Download name={name} type="application/x-pkcs12" bytes={file}>
            {text.certificate.p12Get(name)}
          </Download>
        </p>
      )}
    </details>
  )
}
