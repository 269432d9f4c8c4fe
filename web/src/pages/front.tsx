import { clientSteps, type Facts } from '../../../src/api/facts.js'
import { useJson } from '../shell/fetch.js'
import type { PageProps } from '../shell/pages.js'
import { text } from '../text/en.js'
import { Copy } from '../ui/copy.js'
import { Fingerprint } from '../ui/fingerprint.js'
import { Servers } from '../ui/servers.js'
import type { Statistics } from './answers.js'
import { Chart } from './chart.js'

const t = text.front

export default function Page({ facts }: PageProps) {
  return (
    <>
      <section class="hero">
        <h1>{t.title}</h1>
        <p class="lead">{t.lead}</p>
        <p>{t.reason}</p>
        <p class="row">
          <a class="button primary large" href="/request">
            {t.start}
          </a>
          <span class="quiet">{t.startHint}</span>
        </p>
        <p class="row">
          <a href="/check">{t.test}</a>
          <a href="/trust">{t.trustFirst}</a>
        </p>
      </section>
      <Figures />
      <h2>{t.servers}</h2>
      <p>{t.serversLead}</p>
      <Servers />
      <Automate facts={facts} />
      <h2>{t.root}</h2>
      <p>{t.rootLead}</p>
      <p>
        {facts.root.name}, {text.fingerprint.validUntil(text.day(facts.root.notAfter))}
      </p>
      <p class="row">
        <a href={facts.root.pem}>{text.fingerprint.pem}</a>
        <a href="/trust">{t.more}</a>
      </p>
      <Fingerprint value={facts.root.sha256} />
      <h2>{t.fine}</h2>
      <ul>
        <li>
          <a href={facts.cps}>{t.cps}</a>
        </li>
        <li>
          <a href={facts.terms}>{t.terms}</a>
        </li>
        <li>
          <a href="/api">{t.api}</a>
        </li>
      </ul>
    </>
  )
}

const Figures = () => {
  const answer = useJson<Statistics>('/api/statistics')
  return (
    <section class="statistics">
      <h2>{t.figures}</h2>
      {answer.state === 'failed' && <p class="quiet">{t.noFigures}</p>}
      {answer.state === 'there' && <Totals statistics={answer.value} />}
    </section>
  )
}

const Totals = ({ statistics: { certificates, domains, perDay } }: { statistics: Statistics }) => (
  <>
    <dl class="figures">
      {(
        [
          [t.valid, certificates.valid],
          [t.domains, domains],
          [t.issued, certificates.issued],
          [t.revoked, certificates.revoked],
        ] as const
      ).map(([label, value]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{text.number(value)}</dd>
        </div>
      ))}
    </dl>
    <Chart days={perDay} />
  </>
)

const Automate = ({ facts }: { facts: Facts }) => (
  <section>
    <h2>{t.automate}</h2>
    <p>{t.automateLead}</p>
    {facts.needsRoot && (
      <p>
        {t.rootFirst} <a href="/trust">{t.trustFirst}</a>
      </p>
    )}
    <Copy label={t.directory} value={facts.directory} />
    {clientSteps(facts).map(({ title, lines }) => (
      <Copy key={title} label={title} value={lines.join('\n')} />
    ))}
    <details>
      <summary>{t.profiles}</summary>
      <dl>
        {facts.profiles.map((profile) => (
          <div key={profile.name}>
            <dt>
              <a href={`/profiles/${profile.name}`}>
                <code>{profile.name}</code>
              </a>
              {profile.isDefault && ` (${t.isDefault})`}
            </dt>
            <dd>{profile.description}</dd>
          </div>
        ))}
      </dl>
    </details>
  </section>
)
