/** Figures for Prometheus. Names and help are made here, so that this file is the list of them. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Metrics } from './issuance/ica.js'

const counters = {
  accounts: { help: 'ACME accounts made', labels: [] },
  orders: { help: 'Orders made', labels: ['profile'] },
  validations: { help: 'Validation attempts that ended, by challenge type and result', labels: ['type', 'result'] },
  certificates: { help: 'Certificates issued', labels: ['kind', 'profile'] },
  revocations: { help: 'Certificates revoked by this process', labels: ['reason'] },
  mails: { help: 'Attempts to send a mail, by kind and result', labels: ['kind', 'result'] },
  failures: { help: 'Requests and issuances that failed', labels: ['stage', 'code'] },
} as const satisfies Record<Parameters<Metrics['count']>[0], { help: string; labels: readonly string[] }>

export type Meter = Metrics & {
  /** A request on the web side; `route` from a small fixed set. */
  request(route: string, status: number, seconds: number): void
  /** A request for a CRL or a certificate of the CA. OCSP answers are counted by what they say: {@link Meter.ocsp}. */
  statusRequest(route: 'crl' | 'ca', status: number): void
  /** Named moments such as a certificate's end, read when figures are asked for. Milliseconds; null where there is none. */
  moments(read: () => Record<string, number | null>): void
  /** What the OCSP service has done, and how many answers it holds; read when figures are asked for. */
  ocsp(counts: () => Readonly<Record<string, number>>, held: () => number): void
  /** CRLs: publications that fail one after the other, and lists that are overdue. */
  crls(read: () => { failures: number; late: number }): void
  render(): Promise<string>
  readonly registry: Registry
  readonly contentType: string
}

/** Anew for each program, so that tests do not share figures. */
export const createMeter = (): Meter => {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const made = Object.fromEntries(
    Object.entries(counters).map(([name, { help, labels }]) => [
      name,
      new Counter({ name: `ica_${name}_total`, help, labelNames: labels, registers: [registry] }),
    ]),
  ) as Record<keyof typeof counters, Counter>
  const requests = new Histogram({
    name: 'ica_http_request_duration_seconds',
    help: 'Requests of the web side (ACME, API, page)',
    labelNames: ['route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers: [registry],
  })
  const statusRequests = new Counter({
    name: 'ica_status_requests_total',
    help: 'Requests for CRLs and CA certificates',
    labelNames: ['route', 'status'],
    registers: [registry],
  })
  return {
    count: (name, labels = {}) => made[name].inc(labels),
    request: (route, status, seconds) => requests.observe({ route, status }, seconds),
    statusRequest: (route, status) => statusRequests.inc({ route, status }),
    moments: (read) => {
      new Gauge({
        name: 'ica_moment_timestamp_seconds',
        help: 'When something is due or ends: certificates (…_expires) and CRLs (…_next_update)',
        labelNames: ['moment'],
        // Of several processes: the same everywhere, or the last.
        aggregator: 'max',
        registers: [registry],
        collect() {
          this.reset()
          for (const [moment, at] of Object.entries(read())) if (at !== null) this.set({ moment }, at / 1000)
        },
      })
    },
    ocsp: (counts, held) => {
      const ways = new Set(['hits', 'signed', 'overdue', 'failures', 'refused'])
      const help = {
        says: 'OCSP answers by what they say',
        way: 'OCSP answers from memory (hits), made (signed), given late for want of a new one (overdue), not made (failures), not begun because too many are being made (refused)',
      }
      for (const label of ['says', 'way'] as const) {
        new Counter({
          name: label === 'says' ? 'ica_ocsp_answers_total' : 'ica_ocsp_work_total',
          help: help[label],
          labelNames: [label],
          registers: [registry],
          collect() {
            this.reset()
            for (const [name, count] of Object.entries(counts())) if (ways.has(name) === (label === 'way')) this.inc({ [label]: name }, count)
          },
        })
      }
      new Gauge({
        name: 'ica_ocsp_held_answers',
        help: 'OCSP answers in memory',
        registers: [registry],
        collect() {
          this.set(held())
        },
      })
    },
    crls: (read) => {
      const help = {
        failures: 'Attempts to publish a CRL that failed since the last that succeeded',
        late: 'CRLs that should have been replaced, are out of date or missing',
      }
      for (const name of ['failures', 'late'] as const) {
        new Gauge({
          name: `ica_crl_${name}`,
          help: help[name],
          aggregator: 'max',
          registers: [registry],
          collect() {
            this.set(read()[name])
          },
        })
      }
    },
    render: () => registry.metrics(),
    registry,
    contentType: registry.contentType,
  }
}
