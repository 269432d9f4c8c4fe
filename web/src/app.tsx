import { useEffect, useState } from 'preact/hooks'
import { clientSteps, type Facts, rootSteps } from '../../src/api/facts.js'
import { Command } from './command.js'

const day = new Intl.DateTimeFormat('en', { dateStyle: 'long' })

const load = async (): Promise<Facts> => {
  const response = await fetch('/api/ca')
  if (!response.ok) throw new Error(`the server answered ${response.status}`)
  return response.json()
}

export const App = () => {
  const [facts, setFacts] = useState<Facts | null>(null)
  const [failure, setFailure] = useState('')
  useEffect(() => {
    load().then(
      (loaded) => {
        document.title = loaded.name
        setFacts(loaded)
      },
      (error: Error) => setFailure(error.message),
    )
  }, [])
  if (failure) {
    return (
      <p role="alert">
        The facts about this CA could not be loaded: {failure}. <a href="/">Try again</a>
      </p>
    )
  }
  return facts ? <Page facts={facts} /> : <p aria-busy="true">Loading …</p>
}

const Page = ({ facts }: { facts: Facts }) => (
  <>
    <header>
      <h1>{facts.name}</h1>
      <p>
        A certification authority for the XMPP network. It gives your server a certificate with the names that XMPP uses, by{' '}
        <abbr title="RFC 8555">ACME</abbr>, the way certbot gets one for a web site.
      </p>
      {facts.lab && (
        <p role="alert">
          <strong>Laboratory.</strong> Private addresses may be validated here. Certificates of this CA prove nothing to anybody else.
        </p>
      )}
    </header>

    {/* The form for a certificate made in the browser goes here, above the clients. */}
    <section id="request">
      <h2>Get a certificate</h2>
      <p>With the ACME client that you have. Put your XMPP domain in place of example.org.</p>
      <p>
        ACME directory: <a href={facts.directory}>{facts.directory}</a>
      </p>
      {facts.needsRoot && <p>This site’s own certificate comes from this CA, so fetch and check the root certificate below first.</p>}
      {clientSteps(facts).map((step) => (
        <Command key={step.title} {...step} />
      ))}
      <Profiles facts={facts} />
    </section>

    <section id="trust">
      <h2>Trust it</h2>
      <p>
        Peers accept these certificates once they trust the root. Compare its fingerprint with one that you got by another way.{' '}
        <a href={facts.root.pem} download>
          Root certificate (PEM)
        </a>{' '}
        ·{' '}
        <a href={facts.root.der} download>
          DER
        </a>{' '}
        · valid until {day.format(facts.root.notAfter)}
      </p>
      <dl>
        <dt>SHA-256</dt>
        <dd>
          <code>
            {facts.root.sha256.split(/(?<=:)/).map((pair) => (
              <>
                {pair}
                <wbr />
              </>
            ))}
          </code>
        </dd>
      </dl>
      <Command title="Fetch and check" lines={rootSteps(facts)} />
    </section>

    <Addresses facts={facts} />
    <footer>
      <a href={facts.terms}>Terms of service</a> · <a href={facts.cps}>Practice statement</a> · xmpp-ica {facts.version}
    </footer>
  </>
)

const Profiles = ({ facts }: { facts: Facts }) => (
  <details>
    <summary>Profiles</summary>
    <dl>
      {facts.profiles.map((profile) => (
        <div key={profile.name}>
          <dt>
            <code>{profile.name}</code>
            {profile.isDefault && ' (default)'}
          </dt>
          <dd>{profile.description}</dd>
        </div>
      ))}
    </dl>
  </details>
)

const Addresses = ({ facts }: { facts: Facts }) => (
  <section id="status">
    <h2>Check a certificate</h2>
    <p>Software finds these addresses in the certificates themselves.</p>
    <dl>
      <dt>OCSP</dt>
      <dd>
        <code>{facts.ocsp}</code>
      </dd>
      <dt>CRL</dt>
      {facts.crls.map((url) => (
        <dd key={url}>
          <a href={url}>{url}</a>
        </dd>
      ))}
      <dt>Intermediate</dt>
      <dd>
        <a href={facts.intermediate.pem}>{facts.intermediate.name}</a>, valid until {day.format(facts.intermediate.notAfter)}
      </dd>
    </dl>
  </section>
)
