/** The last step: the files, what the certificate says, how to install and renew it. */
import { useEffect, useMemo, useState } from 'preact/hooks'
import { clientSteps, type Facts } from '../../../src/api/facts.js'
import { toUnicode } from '../../../src/idna.js'
import { fileNames, type Guide, type GuideName, type GuideStep, guideFor, guideNames } from '../guides/servers.js'
import { makeCalendar } from '../keys/calendar.js'
import { type CertificateFacts, fingerprint, readCertificate } from '../keys/read.js'
import { navigate } from '../shell/router.js'
import { forgetDraft } from '../store.js'
import { requestText as text } from '../text/en-request.js'
import { Copy } from '../ui/copy.js'
import { Download } from '../ui/download.js'
import { Names } from '../ui/names.js'
import { Notice } from '../ui/notice.js'
import type { Draft } from './draft.js'
import { Files } from './files.js'
import { chainOf } from './flow.js'
import { sentenceOf, useAction } from './hooks.js'
import { Judgements } from './judgement.js'
import type { StepProps } from './page.js'

export const CertificateStep = ({ facts, draft, go }: StepProps) => {
  const pem = draft.pem ?? ''
  const chain = useMemo(() => chainOf(pem), [pem])
  const [leaf, ...others] = useMemo(() => chain.map(readCertificate), [chain])
  const [server, setServer] = useState<GuideName | null>(null)
  const { busy, error, run } = useAction()
  if (!leaf) return <p>{text.proof.goneDetail}</p>
  const { domain } = draft
  const unsaved = draft.key.kind === 'new' && draft.key.pkcs8 !== null && !draft.saved
  const finish = () =>
    run(async () => {
      if (unsaved && !confirm(text.certificate.notSaved)) return
      await forgetDraft()
      navigate('/mine')
    })
  return (
    <>
      <h1>{text.certificate.title}</h1>
      <p class="lead">{text.certificate.lead(toUnicode(domain), text.day(leaf.notAfter))}</p>
      {unsaved && (
        <Notice kind="warn">
          <p>{text.certificate.saveFirst}</p>
        </Notice>
      )}
      <Files draft={draft} chain={chain} pem={pem} onSaved={() => !draft.saved && void go({ ...draft, saved: true })} />
      <Installation domain={domain} server={server} onServer={setServer} />
      <Renewal facts={facts} draft={draft} leaf={leaf} server={server} />
      <Content leaf={leaf} others={others} domain={domain} />
      {error !== null && (
        <Notice kind="bad">
          <p>{sentenceOf(error)}</p>
        </Notice>
      )}
      <p>
        <button type="button" class="primary" disabled={busy} onClick={finish}>
          {draft.key.kind === 'new' && draft.key.pkcs8 ? text.certificate.done : text.certificate.finish}
        </button>
      </p>
    </>
  )
}

/** What a certificate says, readably. */
export const Content = ({ leaf, others, domain }: { leaf: CertificateFacts; others: CertificateFacts[]; domain: string }) => {
  const [print, setPrint] = useState('')
  useEffect(() => void fingerprint(leaf.der).then(setPrint), [leaf])
  return (
    <section>
      <h2>{text.certificate.content}</h2>
      <dl class="facts">
        <dt>{text.certificate.names}</dt>
        <dd>
          <Names names={leaf.names} />
        </dd>
        <dt>{text.certificate.valid}</dt>
        <dd>{text.certificate.range(text.moment(leaf.notBefore), text.moment(leaf.notAfter))}</dd>
        <dt>{text.certificate.keyKind}</dt>
        <dd>{leaf.key.kind === 'RSA' ? `RSA, ${leaf.key.bits} bits` : leaf.key.kind}</dd>
        <dt>{text.certificate.serial}</dt>
        <dd>
          <a href={`/lookup/${leaf.serial}`}>
            <code>{leaf.serial}</code>
          </a>
        </dd>
        <dt>{text.certificate.fingerprint}</dt>
        <dd>
          <code>{print.replaceAll(':', ':\u200b')}</code>
        </dd>
        <dt>{text.certificate.chainTitle}</dt>
        <dd>
          {[leaf, ...others].map((one) => (
            <div key={one.serial}>{text.certificate.chainLine(one.subject || one.names[0]?.value || one.serial, one.issuer)}</div>
          ))}
        </dd>
      </dl>
      <h2>{text.certificate.judgement}</h2>
      <p>{text.certificate.judgementLead}</p>
      <Judgements leaf={leaf} domain={domain} />
    </section>
  )
}

const Steps = ({ steps }: { steps: GuideStep[] }) => (
  <>{steps.map(({ title, lines }) => (lines ? <Copy key={title} label={title} value={lines.join('\n')} /> : <p key={title}>{title}</p>))}</>
)

type InstallationProps = { domain: string; server: GuideName | null; onServer: (name: GuideName) => void }

const Installation = ({ domain, server, onServer }: InstallationProps) => {
  const guide: Guide | null = server && guideFor(server, domain)
  return (
    <section>
      <h2>{text.certificate.install}</h2>
      <p>{text.certificate.installLead}</p>
      <p class="row">
        {guideNames.map((one) => (
          <button key={one} type="button" aria-pressed={one === server} class={one === server ? 'primary' : undefined} onClick={() => onServer(one)}>
            {guideFor(one, domain).label}
          </button>
        ))}
      </p>
      {guide && (
        <section key={server} aria-label={guide.label}>
          <p>
            {text.certificate.installFiles(
              guide.label,
              guide.files.map((kind) => fileNames(domain)[kind]),
            )}
          </p>
          <Steps steps={guide.install} />
          <h3>{text.certificate.trust}</h3>
          <p>
            <a href="/trust">{text.certificate.trustLink}</a> · <a href={`/servers/${server}`}>{text.certificate.guideLink(guide.label)}</a>
          </p>
          <Steps steps={guide.trust} />
        </section>
      )}
    </section>
  )
}

type RenewalProps = { facts: Facts; draft: Draft; leaf: CertificateFacts; server: GuideName | null }

const Renewal = ({ facts, draft, leaf, server }: RenewalProps) => {
  const { domain } = draft
  // Where ARI puts the window of renewal.
  const at = leaf.notBefore + ((leaf.notAfter - leaf.notBefore) * 2) / 3
  const mine = new URL('/mine', facts.directory).href
  const calendar = useMemo(
    () =>
      makeCalendar({
        uid: `${leaf.serial}@${new URL(facts.directory).hostname}`,
        at,
        now: leaf.notBefore,
        summary: text.certificate.event(toUnicode(domain)),
        description: text.certificate.eventDetail(toUnicode(domain), text.day(leaf.notAfter), mine),
        url: mine,
      }),
    [leaf, domain],
  )
  return (
    <section>
      <h2>{text.certificate.renew}</h2>
      <p>{text.certificate.renewBefore(text.day(at))}</p>
      <Automatic facts={facts} profile={draft.profile} leaf={leaf} server={server} />
      <p>{text.certificate.byHand}</p>
      <p>
        <Download name={`${domain}.ics`} type="text/calendar" bytes={calendar}>
          {text.certificate.calendar}
        </Download>
      </p>
    </section>
  )
}

/** The lines by which an ACME client goes on with the same names and kind; stock clients order domains alone. */
const Automatic = ({ facts, profile, leaf, server }: Omit<RenewalProps, 'draft'> & { profile: string }) => {
  const all = leaf.names.filter(({ form }) => form === 'dNSName').map(({ value }) => value)
  const names = all.filter((name) => !name.startsWith('*.'))
  if (names.length === 0) return <p>{all.length === 0 ? text.certificate.automaticServices : text.certificate.automaticWildcard}</p>
  const usual = facts.profiles.some(({ name, isDefault }) => isDefault && name === profile) || profile === ''
  return (
    <>
      <p>{text.certificate.automatic}</p>
      <p>
        {server === null ? (
          text.certificate.automaticNoServer
        ) : (
          <>
            {text.certificate.automaticHook} <a href={`/servers/${server}`}>{text.certificate.guideLink(guideFor(server, names[0] ?? '').label)}</a>
          </>
        )}
      </p>
      {clientSteps(facts, { names, profile: usual ? null : profile, server }).map(({ title, lines }) => (
        <Copy key={title} label={title} value={lines.join('\n')} />
      ))}
      {!usual && <p>{text.certificate.automaticKind}</p>}
      {facts.needsRoot && (
        <p>
          {text.certificate.automaticRoot} <a href="/trust">{text.certificate.trustLink}</a>
        </p>
      )}
      {all.length > names.length && <p>{text.certificate.automaticWildcard}</p>}
    </>
  )
}
