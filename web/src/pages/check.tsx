import { useState } from 'preact/hooks'
import type { Finding, Report } from '../../../src/check/report.js'
import type { Level } from '../../../src/check/words.js'
import { useJson } from '../shell/fetch.js'
import { navigate } from '../shell/router.js'
import { text } from '../text/en.js'
import { Copy } from '../ui/copy.js'
import { Download } from '../ui/download.js'
import { Field } from '../ui/field.js'
import { Mark, Notice, type NoticeKind } from '../ui/notice.js'
import { Busy } from '../ui/spinner.js'
import { Details } from './check-details.js'

const t = text.check

const askedDomain = (): string => new URLSearchParams(location.search).get('domain')?.trim() ?? ''

export default function Page() {
  const domain = askedDomain()
  const [round, setRound] = useState(0)
  return (
    <>
      <h1>{t.title}</h1>
      <p class="lead">{t.lead}</p>
      <Ask key={domain} asked={domain} again={() => setRound(round + 1)} />
      {domain && <Result domain={domain} round={round} />}
    </>
  )
}

/** What people type instead of a domain: an address, a URL, a port. Only what cannot be meant otherwise is taken away. */
const domainIn = (value: string): string =>
  value
    .trim()
    .replace(/^(xmpp:|https?:\/\/)/i, '')
    .replace(/^[^@/]*@/, '')
    .replace(/[/?#].*$/, '')
    .replace(/\.$/, '')

const looksLikeDomain = (value: string): boolean => /^[^\s:@/.]+(\.[^\s:@/.]+)+$/.test(value) && value.length <= 253

const Ask = ({ asked, again }: { asked: string; again: () => void }) => {
  const [value, setValue] = useState(asked)
  const [error, setError] = useState('')
  const submit = (event: Event) => {
    event.preventDefault()
    const domain = domainIn(value)
    if (!domain) return setError(t.empty)
    if (!looksLikeDomain(domain)) return setError(t.notDomain(value.trim()))
    if (domain === asked) again()
    else navigate(`/check?domain=${encodeURIComponent(domain)}`)
  }
  return (
    <form onSubmit={submit} noValidate>
      <Field label={t.domain} help={t.domainHelp} error={error}>
        <input
          name="domain"
          value={value}
          onInput={({ currentTarget }) => {
            setValue(currentTarget.value)
            setError('')
          }}
          inputMode="url"
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
        />
      </Field>
      <button type="submit">{asked ? t.again : t.submit}</button>
    </form>
  )
}

const Result = ({ domain, round }: { domain: string; round: number }) => {
  const answer = useJson<Report>(`/api/check?domain=${encodeURIComponent(domain)}`, round)
  return (
    <section class="result" aria-live="polite">
      {answer.state === 'there' && <View report={answer.value} />}
      {answer.state === 'busy' && <Busy label={t.busy(domain)} />}
      {answer.state === 'failed' && (
        <Notice kind="bad">
          <p>{answer.error.message}</p>
        </Notice>
      )}
    </section>
  )
}

const verdicts: Record<Report['verdict'], NoticeKind> = { good: 'good', warnings: 'warn', failing: 'bad' }
const kinds: Record<Level, NoticeKind> = { failing: 'bad', warning: 'warn', info: 'info', good: 'good' }
const levels: Level[] = ['failing', 'warning', 'info', 'good']

const View = ({ report }: { report: Report }) => {
  const { domain, unicode, verdict, findings, checkedAt } = report
  return (
    <>
      <Notice kind={verdicts[verdict]} title={t.verdict[verdict](unicode)}>
        <p>{t.took(text.moment(checkedAt))}</p>
      </Notice>
      {levels.map((level) => (
        <Group key={level} level={level} findings={findings.filter((finding) => finding.level === level)} />
      ))}
      <Details report={report} />
      <h2>{t.command}</h2>
      <Copy label="xmpp-ica" value={`xmpp-ica check ${domain} --root ica-root.pem`} />
      <p>
        <Download name={`${domain}.json`} type="application/json" bytes={JSON.stringify(report, null, 2)}>
          {t.json}
        </Download>
      </p>
    </>
  )
}

const Group = ({ level, findings }: { level: Level; findings: Finding[] }) => {
  if (findings.length === 0) return null
  const list = (
    <ul class="findings">
      {findings.map((finding) => (
        <Line key={`${finding.id} ${finding.where} ${finding.title}`} finding={finding} />
      ))}
    </ul>
  )
  const title = `${t.groups[level]} ${t.count(findings.length)}`
  // What is in order is there to be seen, but not in the way of what is not.
  return level === 'good' ? (
    <details>
      <summary>{title}</summary>
      {list}
    </details>
  ) : (
    <>
      <h2>{title}</h2>
      {list}
    </>
  )
}

const Line = ({ finding: { level, where, title, detail, advice } }: { finding: Finding }) => (
  <li>
    <Mark kind={kinds[level]} />
    <div>
      <strong>{title}</strong> {where && <code>{where}</code>}
      {detail && <p>{detail}</p>}
      {advice && (
        <p>
          <strong>{t.advice}</strong> {advice}
        </p>
      )}
    </div>
  </li>
)
