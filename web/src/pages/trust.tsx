import { type Facts, rootSteps } from '../../../src/api/facts.js'
import { type GuideName, guideFor } from '../guides/servers.js'
import type { PageProps } from '../shell/pages.js'
import { text } from '../text/en.js'
import { Copy } from '../ui/copy.js'
import { Fingerprint } from '../ui/fingerprint.js'
import { Notice } from '../ui/notice.js'
import { Servers } from '../ui/servers.js'

const t = text.trust

/** Commands as root, after `ica-root.pem` was fetched and compared. */
const systems: [string, string][] = [
  [t.debian, 'cp ica-root.pem /usr/local/share/ca-certificates/ica-root.crt\nupdate-ca-certificates'],
  [t.fedora, 'cp ica-root.pem /etc/pki/ca-trust/source/anchors/\nupdate-ca-trust'],
  [t.arch, 'trust anchor ica-root.pem'],
  [t.alpine, 'cp ica-root.pem /usr/local/share/ca-certificates/ica-root.crt\nupdate-ca-certificates'],
  [t.java, 'keytool -importcert -noprompt -alias xmpp-ica -file ica-root.pem -cacerts -storepass changeit'],
  [t.windows, 'certutil -addstore -f Root ica-root.pem'],
  [t.macos, 'sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain ica-root.pem'],
]

/** As the guides have it. */
const Trust = ({ server }: { server: GuideName }) => (
  <>{guideFor(server, 'example.org').trust.map(({ title, lines }) => lines && <Copy key={title} label={title} value={lines.join('\n')} />)}</>
)

export default function Page({ facts }: PageProps) {
  return (
    <>
      <h1>{t.title}</h1>
      <p class="lead">{t.lead}</p>
      <Notice kind="info">
        <p>{t.caution}</p>
      </Notice>
      <h2>{t.check}</h2>
      <Copy label={t.fetch} value={rootSteps(facts).join('\n')} />
      <p>{t.checkLead}</p>
      <Fingerprint value={facts.root.sha256} />
      <h2>{t.downloads}</h2>
      <ul>
        <li>
          <a href={facts.root.pem}>{text.fingerprint.pem}</a>, <a href={facts.root.der}>DER</a>: {facts.root.name},{' '}
          {text.fingerprint.validUntil(text.day(facts.root.notAfter))}
        </li>
        <li>
          <a href={facts.intermediate.pem}>{t.intermediate(facts.intermediate.name)}</a>,{' '}
          {text.fingerprint.validUntil(text.day(facts.intermediate.notAfter))}
        </li>
      </ul>
      <h2>{t.install}</h2>
      <h3>{t.prosody}</h3>
      <p>{t.prosodyLead}</p>
      <Trust server="prosody" />
      <h3>{t.ejabberd}</h3>
      <p>{t.ejabberdLead}</p>
      <Trust server="ejabberd" />
      <h3>{t.system}</h3>
      {systems.map(([label, value]) => (
        <Copy key={label} label={label} value={value} />
      ))}
      <h2>{t.guides}</h2>
      <Servers />
      <Published facts={facts} />
    </>
  )
}

const Published = ({ facts }: { facts: Facts }) => (
  <section>
    <h2>{t.status}</h2>
    <p>{t.statusLead}</p>
    <dl class="facts">
      <dt>{t.ocsp}</dt>
      <dd>
        <code>{facts.ocsp}</code>
      </dd>
      <dt>{t.crl}</dt>
      <dd>
        {facts.crls.map((url) => (
          <div key={url}>
            <a href={url}>{url}</a>
          </div>
        ))}
      </dd>
    </dl>
  </section>
)
