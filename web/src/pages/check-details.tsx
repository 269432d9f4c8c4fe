import type { CertificateReport, EndpointReport, Report, ServiceReport } from '../../../src/check/report.js'
import { text } from '../text/en.js'
import { Names } from '../ui/names.js'
import { Mark } from '../ui/notice.js'

const t = text.check

/** What the findings come from: records, connections, certificates, and what each software makes of them. */
export const Details = ({ report: { services, endpoints, certificates } }: { report: Report }) => (
  <details>
    <summary>{t.details}</summary>
    {services.length > 0 && <Services services={services} />}
    {endpoints.length > 0 && <Endpoints endpoints={endpoints} />}
    {certificates.map((certificate) => (
      <Certificate key={certificate.fingerprint} certificate={certificate} />
    ))}
  </details>
)

const Services = ({ services }: { services: ServiceReport[] }) => (
  <>
    <h3>{t.services}</h3>
    <table class="cards">
      <thead>
        <tr>
          <th scope="col">{t.service}</th>
          <th scope="col">{t.published}</th>
        </tr>
      </thead>
      <tbody>
        {services.map(({ service, state, records }) => (
          <tr key={service}>
            <td>
              <code>{service}</code>
            </td>
            <td>
              {records.length === 0
                ? state
                : records.map((record) => (
                    <div key={t.record(record)}>
                      <code>{t.record(record)}</code>
                    </div>
                  ))}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  </>
)

const tlsOf = ({ tls, direct }: EndpointReport): string =>
  tls ? [direct ? t.direct : t.starttls, tls.protocol, tls.cipher, tls.stapled && t.stapled].filter(Boolean).join(', ') : t.unreached

const Endpoints = ({ endpoints }: { endpoints: EndpointReport[] }) => (
  <>
    <h3>{t.endpoints}</h3>
    <table class="cards">
      <thead>
        <tr>
          <th scope="col">{t.endpoint}</th>
          <th scope="col">{t.purpose}</th>
          <th scope="col">{t.encryption}</th>
        </tr>
      </thead>
      <tbody>
        {endpoints.map((endpoint) => {
          const { host, address, port, role, direct, reached } = endpoint
          return (
            <tr key={`${role} ${direct} ${host} ${address} ${port}`}>
              <td>
                <code>
                  {host}:{port}
                </code>{' '}
                <small>{address}</small>
              </td>
              <td>{t.roles[role]}</td>
              <td>
                <span class="status">
                  <Mark kind={reached ? 'good' : 'bad'} />
                </span>{' '}
                {tlsOf(endpoint)}
              </td>
            </tr>
          )
        })}
      </tbody>
    </table>
  </>
)

const Certificate = ({ certificate: { chain, trust, names, judgements } }: { certificate: CertificateReport }) => (
  <>
    <h3>{t.certificateTitle(names[0]?.value ?? chain[0]?.subject ?? '')}</h3>
    <p>{t.trust[trust]}</p>
    <Names names={names} />
    <h4>{t.chain}</h4>
    <ol>
      {chain.map(({ subject, notAfter, fingerprint }) => (
        <li key={fingerprint}>{t.chainMember(subject, text.day(notAfter))}</li>
      ))}
    </ol>
    <h4>{t.verifiers}</h4>
    <table class="cards">
      <thead>
        <tr>
          <th scope="col">{t.verifier}</th>
          <th scope="col">{t.verdictColumn}</th>
          <th scope="col">{t.why}</th>
        </tr>
      </thead>
      <tbody>
        {judgements.map(({ verifier, label, role, accepted, why }) => (
          <tr key={`${verifier} ${role}`}>
            <td>{label}</td>
            <td>
              <span class="status">
                <Mark kind={accepted ? 'good' : 'bad'} />
                {accepted ? t.accepted : t.refused}
              </span>
            </td>
            <td>{why}</td>
          </tr>
        ))}
      </tbody>
    </table>
  </>
)
