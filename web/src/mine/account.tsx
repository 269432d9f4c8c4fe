/** The account of this browser: notices, export and import of its key. */
import { useState } from 'preact/hooks'
import type { Facts } from '../../../src/api/facts.js'
import type { AcmeClient } from '../acme/client.js'
import { isAcmeError } from '../acme/problem.js'
import { pemEncode } from '../keys/base64.js'
import { KeyProblem } from '../keys/key-problem.js'
import { mailOf } from '../request/contact.js'
import { sentenceOf, useAction } from '../request/hooks.js'
import { exclusively, type KeptAccount, readAccount, saveAccount } from '../store.js'
import { mineText as text } from '../text/en-mine.js'
import { Download } from '../ui/download.js'
import { Field } from '../ui/field.js'
import { Notice } from '../ui/notice.js'
import { Busy } from '../ui/spinner.js'
import { PemField } from './pem-field.js'

/** Loaded when somebody wants it. */
const keyCode = () => import('../keys/private-keys.js')

type AccountProps = { facts: Facts; client: AcmeClient; account: KeptAccount | null; onChange: () => Promise<void> }
type Existing = KeptAccount & { url: string }

export const AccountSection = ({ facts, client, account, onChange }: AccountProps) => (
  <section>
    <h2>{text.account.title}</h2>
    <p>{text.account.lead}</p>
    {account?.url ? (
      <>
        <p>
          {text.account.url}: <code>{account.url}</code>
        </p>
        {facts.mail ? (
          <Notices client={client} account={{ ...account, url: account.url }} onChange={onChange} />
        ) : (
          <p class="quiet">{text.account.noMail}</p>
        )}
        <Export client={client} account={{ ...account, url: account.url }} onChange={onChange} />
      </>
    ) : (
      <p>{text.account.none}</p>
    )}
    <Import client={client} known={account?.url ?? null} onChange={onChange} />
  </section>
)

const Failure = ({ error }: { error: unknown }) =>
  error === null ? null : (
    <Notice kind="bad">
      <p>{sentenceOf(error)}</p>
    </Notice>
  )

type Part = { client: AcmeClient; account: Existing; onChange: () => Promise<void> }

const Notices = ({ client, account, onChange }: Part) => {
  const [mail, setMail] = useState(mailOf(account.contact))
  const [saved, setSaved] = useState(false)
  const { busy, error, run } = useAction()
  const wrong = isAcmeError(error, 'invalidContact', 'unsupportedContact')
  const submit = (event: Event) => {
    event.preventDefault()
    setSaved(false)
    run(async () => {
      const wanted = mail.trim() ? [`mailto:${mail.trim()}`] : []
      const { contact } = await client.updateContact(account, wanted)
      await saveAccount({ ...account, contact: contact ?? [] })
      setSaved(true)
      await onChange()
    })
  }
  return (
    <form onSubmit={submit} noValidate>
      <Field label={text.account.notices} help={text.account.noticesHelp} error={wrong ? text.account.mailBad : null}>
        <input name="notices" type="email" autocomplete="email" value={mail} onInput={(event) => setMail(event.currentTarget.value)} />
      </Field>
      {!wrong && <Failure error={error} />}
      <button type="submit" disabled={busy}>
        {text.account.save}
      </button>{' '}
      <span role="status">{saved && text.account.saved}</span>
    </form>
  )
}

/**
 * A key that can't be taken out of WebCrypto can't be exported: so the account gets a new one that could (RFC 8555 §7.3.5), which is handed out, and this browser
 * keeps it the way it kept the old one.
 */
const Export = ({ client, account, onChange }: Part) => {
  const [pem, setPem] = useState<string | null>(null)
  const { busy, error, run } = useAction()
  const start = () =>
    run(() =>
      exclusively('account', async () => {
        const [{ newCertificateKey, signerOf }, { changeKey }] = await Promise.all([keyCode(), import('../request/flow.js')])
        const pkcs8 = await newCertificateKey('P-256')
        await changeKey(client, { readAccount, saveAccount }, account, await signerOf(pkcs8))
        setPem(pemEncode('PRIVATE KEY', pkcs8))
        await onChange()
      }),
    )
  return (
    <details>
      <summary>{text.account.export}</summary>
      <p>{text.account.exportLead}</p>
      <Failure error={error} />
      {busy && <Busy label={text.account.exporting} />}
      {pem ? (
        <div role="status">
          <p>{text.account.exported}</p>
          <Download name="account-key.pem" type="application/x-pem-file" bytes={pem}>
            {text.account.exportFile}
          </Download>
        </div>
      ) : (
        <button type="button" disabled={busy} onClick={start}>
          {text.account.export}
        </button>
      )}
    </details>
  )
}

const importProblem = (error: unknown): string | null => {
  if (error instanceof KeyProblem) return text.key.problems[error.reason] ?? error.reason
  return isAcmeError(error, 'accountDoesNotExist') ? text.account.unknown : null
}

type ImportProps = Pick<AccountProps, 'client' | 'onChange'> & { known: string | null }

const Import = ({ client, known, onChange }: ImportProps) => {
  const [key, setKey] = useState(new Uint8Array())
  const [done, setDone] = useState(false)
  const { busy, error, run } = useAction()
  const problem = importProblem(error)
  const submit = (event: Event) => {
    event.preventDefault()
    setDone(false)
    run(async () => {
      const { readAccountKey, signerOf } = await keyCode()
      const signer = await signerOf(await readAccountKey(key))
      const { url, contact } = await client.newAccount(signer, { onlyReturnExisting: true })
      // The key that is here can't be taken out, so that what takes its place ends it.
      if (known !== null && known !== url && !confirm(text.account.importAsk)) return
      await exclusively('account', () => saveAccount({ signer, url, contact, next: null }))
      setKey(new Uint8Array())
      setDone(true)
      await onChange()
    })
  }
  return (
    <details>
      <summary>{text.account.import}</summary>
      <p>{text.account.importLead}</p>
      <form onSubmit={submit} noValidate>
        <Field label={text.key.key} help={text.account.importHelp} error={problem}>
          <PemField name="accountKey" bytes={key} onBytes={setKey} />
        </Field>
        {!problem && <Failure error={error} />}
        <button type="submit" disabled={busy}>
          {text.account.importSubmit}
        </button>
      </form>
      <div role="status">{done && text.account.imported}</div>
    </details>
  )
}
