/** The public JSON, wired: which routes there are, and what of the running CA each of them is given. */
import { type ApiHandler, createApiHandler } from './api/api.js'
import { type CertificateDeps, certificateRoutes } from './api/certificates.js'
import { checkRoutes } from './api/check.js'
import { dnsRoutes } from './api/dns.js'
import { domainRoutes } from './api/domain.js'
import { factsRoute } from './api/facts-route.js'
import { statisticsRoutes } from './api/statistics.js'
import { defaultRates } from './api/throttle.js'
import type { Ca, Core } from './build.js'
import { createCheckPorts, systemServers } from './check/ports.js'
import { encodeCertId } from './pki/ocsp-certid.js'
import { encodeOcspRequest } from './pki/ocsp-request.js'
import { readCertificate } from './pki/read-certificate.js'
import { wholeBody } from './status/http.js'
import { statusUrls } from './status-urls.js'
import { createAskServer } from './validation/dns-ask.js'
import { createResolver } from './validation/resolver.js'

/** What certificates are shown with; OCSP and CRLs as clients get them. */
const certificateDeps = ({ config, clock, store, keystore }: Core, ca: Pick<Ca, 'ocsp' | 'crlShelf'>): CertificateDeps => {
  const { root, intermediate, retired } = keystore
  const issuers = new Map([intermediate, ...retired].map((issuer) => [issuer.id, issuer]))
  const names = new Map([root, ...issuers.values()].map(({ id, certificate }) => [id, readCertificate(certificate).commonName ?? id]))
  return {
    clock,
    store,
    lab: config.lab,
    issuerName: (id) => names.get(id) ?? id,
    async ocsp(issuerId, serial) {
      const issuer = issuers.get(issuerId)
      if (!issuer) return null
      const { says, shared } = await ca.ocsp.answer(encodeOcspRequest([encodeCertId(issuer, 'sha1', serial)]))
      return shared && (says === 'good' || says === 'revoked') ? { status: says, thisUpdate: shared.thisUpdate, nextUpdate: shared.nextUpdate } : null
    },
    async crl({ issuerId, crlShard }) {
      const shard = issuerId === root.id ? null : crlShard
      const served = await ca.crlShelf.get(issuerId, shard)
      return served && { url: statusUrls(config, issuerId, shard).crl, der: await wholeBody(served) }
    },
  }
}

/** Everything below `/api/`. A new resource is one more in the list of routes. */
export const buildPublicApi = (core: Core, ca: Ca): ApiHandler => {
  const { config, clock, log, store } = core
  const resolver = createResolver(config.dnsServers)
  const certificates = certificateDeps(core, ca)
  return createApiHandler({
    clock,
    log,
    title: ca.facts.name,
    version: ca.facts.version,
    url: config.url,
    rates: Object.values(config.limits).every((rate) => rate === null) ? { light: null, heavy: null, probe: null } : defaultRates,
    routes: [
      factsRoute(ca.facts),
      ...certificateRoutes(certificates),
      ...statisticsRoutes({ store, clock, log }),
      ...domainRoutes({ clock, store, ica: ca.ica, resolver }),
      ...dnsRoutes({ clock, resolver, ask: createAskServer({ port: config.dnsPort }), lab: config.lab }),
      ...checkRoutes({
        clock,
        ports: createCheckPorts({
          servers: config.dnsServers.length > 0 ? config.dnsServers : systemServers(),
          lab: config.lab,
          now: () => clock.now(),
        }),
        options: { roots: [core.keystore.root.certificate], caaIdentities: config.caaIdentities },
      }),
    ],
  })
}
