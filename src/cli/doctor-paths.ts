/** What `doctor` says of certification paths: a second opinion by the libraries of the field, and what the root has revoked. */
import type { Keystore } from '../keystore-open.js'
import { readCertificate } from '../pki/read-certificate.js'
import type { Store } from '../store/store.js'
import { when } from './output.js'

type Report = (check: string, result: 'ok' | 'warning' | 'error', detail: string) => void

const day = 86_400_000

/** The path of the intermediate, and that of the newest leaf, which the constraints of somebody else's root may not allow. */
const judgePaths = async ({ intermediate, root }: Keystore, store: Store | null, now: number, report: Report): Promise<void> => {
  const { judgeChain } = await import('../pki/judge.js')
  const chain = [...intermediate.chain, root.certificate]
  const fault = await judgeChain(chain, now)
  if (fault) return report('path', 'error', `The intermediate: ${fault}`)
  const newest = (await store?.listCertificates({ limit: 20, expired: { at: now, is: false } })) ?? []
  const leaf = newest.find(({ kind, issuerId }) => kind === 'leaf' && issuerId === intermediate.id)
  const leafFault = leaf && (await judgeChain([leaf.der, ...chain], now))
  if (leafFault) return report('path', 'error', `The newest certificate, ${leaf.serial}: ${leafFault}`)
  report('path', 'ok', `an independent check agrees with the path from the ${leaf ? 'newest certificate' : 'intermediate'} to the root`)
}

const checkRoot = async ({ intermediate, root }: Keystore, store: Store, now: number, report: Report): Promise<void> => {
  const { serial, commonName } = readCertificate(intermediate.certificate)
  const revoked = await store.revocationOf(root.id, serial)
  if (revoked) {
    report(
      'root',
      'error',
      `The intermediate "${commonName}" (${serial}), which signs, was revoked on ${when(revoked.revokedAt)} (${revoked.reason}): what it signs is worthless. A new one: xmpp-ica init --new-intermediate`,
    )
  }
  if (root.issuer) return
  const crl = await store.currentCrl(root.id, null)
  const todo = 'Where the root is: xmpp-ica crl --out FOLDER; here: xmpp-ica crl --import FOLDER/root.crl'
  if (!crl) report('root', 'warning', `There is no CRL of the root. ${todo}`)
  else if (crl.nextUpdate <= now) report('root', 'error', `The CRL of the root ran out on ${when(crl.nextUpdate)}. ${todo}`)
  else if (crl.nextUpdate - now < 14 * day) report('root', 'warning', `The CRL of the root runs out on ${when(crl.nextUpdate)}. ${todo}`)
  else report('root', 'ok', `its CRL, number ${crl.number}, lasts until ${when(crl.nextUpdate)}`)
}

/** `store` null: there is no database yet. */
export const checkPaths = async (keystore: Keystore, store: Store | null, now: number, report: Report): Promise<void> => {
  await judgePaths(keystore, store, now, report)
  if (store) await checkRoot(keystore, store, now, report)
}
