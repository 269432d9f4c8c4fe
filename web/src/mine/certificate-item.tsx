/** One certificate of this browser, and what can be done with it. */
import { useState } from 'preact/hooks'
import { toUnicode } from '../../../src/idna.js'
import type { AcmeClient } from '../acme/client.js'
import { AcmeError } from '../acme/problem.js'
import { firstDer } from '../keys/base64.js'
import { sentenceOf, useAction } from '../request/hooks.js'
import { forgetCertificate, isRunning, type KeptAccount, type KeptCertificate, saveCertificate } from '../store.js'
import { mineText as text } from '../text/en-mine.js'
import { requestText } from '../text/en-request.js'
import { Download } from '../ui/download.js'
import { Mark, Notice } from '../ui/notice.js'
import { Busy } from '../ui/spinner.js'
import { RevokeForm } from './revoke-form.js'

/** With a third of its life left renewal is due, which is where ARI puts it, and a while before the first notice by mail; with a tenth it is urgent, as the second says. */
const stateOf = ({ notBefore, notAfter, revoked }: KeptCertificate, now: number) => {
  if (revoked) return { kind: 'bad', label: text.revoked } as const
  if (notAfter < now) return { kind: 'bad', label: text.expired(requestText.day(notAfter)) } as const
  const left = (notAfter - now) / (notAfter - notBefore)
  const until = text.until(requestText.day(notAfter))
  if (left > 1 / 3) return { kind: 'good', label: until } as const
  return { kind: 'warn', label: `${until}. ${left > 0.1 ? text.due : text.urgent}` } as const
}

type ItemProps = { certificate: KeptCertificate; account: KeptAccount | null; client: AcmeClient; onChange: () => Promise<void> }

export const CertificateItem = ({ certificate, account, client, onChange }: ItemProps) => {
  const { busy, error, run } = useAction()
  const forgetting = useAction()
  const [running, setRunning] = useState(false)
  const [revoking, setRevoking] = useState(false)
  const names = certificate.identifiers.map(({ value }) => (value.startsWith('*.') ? `*.${toUnicode(value.slice(2))}` : toUnicode(value)))
  const name = names[0] ?? certificate.serial
  const state = stateOf(certificate, Date.now())
  const over = certificate.revoked || certificate.notAfter < Date.now()
  const onRenew = () =>
    run(async () => {
      if (await isRunning()) return setRunning(true)
      const { renew } = await import('./renewal.js')
      await renew(client, certificate)
    })
  const forget = () =>
    forgetting.run(async () => {
      await forgetCertificate(certificate.serial)
      await onChange()
    })
  const revoke = async (reason: Parameters<AcmeClient['revoke']>[2]) => {
    if (!account?.url) throw new AcmeError('unauthorized', text.noAccount)
    await client.revoke({ signer: account.signer, url: account.url }, firstDer(certificate.pem), reason)
    await saveCertificate({ ...certificate, revoked: true })
    setRevoking(false)
    await onChange()
  }
  return (
    <section>
      <h2>{text.names(names)}</h2>
      <p>
        <Mark kind={state.kind} /> {state.label}{' '}
        <a href={`/lookup/${certificate.serial}`}>
          <small>{certificate.serial}</small>
        </a>
      </p>
      <p class="row">
        <button type="button" class={state.kind === 'good' ? undefined : 'primary'} disabled={busy} onClick={onRenew} aria-label={text.renewOf(name)}>
          {text.renew}
        </button>
        {!over && (
          <button type="button" onClick={() => setRevoking(!revoking)} aria-expanded={revoking} aria-label={text.revokeOf(name)}>
            {text.revoke}
          </button>
        )}
        <Download name={`${certificate.identifiers[0]?.value.replace('*', '_')}.crt`} type="application/x-pem-file" bytes={certificate.pem}>
          {text.download}
        </Download>
        {over && (
          <button type="button" onClick={forget}>
            {text.forget}
          </button>
        )}
      </p>
      {busy && <Busy label={text.renewing} />}
      {running && (
        <Notice kind="warn">
          <p>
            {text.running} <a href="/request">{text.goOn}</a>
          </p>
        </Notice>
      )}
      {(error ?? forgetting.error) !== null && (
        <Notice kind="bad">
          <p>{sentenceOf(error ?? forgetting.error)}</p>
        </Notice>
      )}
      {revoking && <RevokeForm name={name} onRevoke={revoke} onCancel={() => setRevoking(false)} />}
    </section>
  )
}
