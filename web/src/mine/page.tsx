/** My certificates: what this browser has, what it may do elsewhere, and its account. */
import { useEffect, useState } from 'preact/hooks'
import type { Facts } from '../../../src/api/facts.js'
import { sentenceOf, useClient } from '../request/hooks.js'
import { type KeptAccount, type KeptCertificate, listCertificates, onOtherTab, readAccount } from '../store.js'
import { mineText as text } from '../text/en-mine.js'
import { requestText } from '../text/en-request.js'
import { Notice } from '../ui/notice.js'
import { AccountSection } from './account.js'
import { CertificateItem } from './certificate-item.js'
import { Elsewhere } from './elsewhere.js'
import { RevokeByKey } from './revoke-by-key.js'

/** What is kept, read again when another tab changes it or `reload` is called. */
const useKept = () => {
  const [kept, setKept] = useState<{ account: KeptAccount | null; certificates: KeptCertificate[] } | null>(null)
  const [error, setError] = useState<unknown>(null)
  const reload = async () => {
    try {
      setKept({ account: await readAccount(), certificates: await listCertificates() })
    } catch (thrown) {
      setError(thrown)
    }
  }
  useEffect(() => {
    void reload()
    const ends = [onOtherTab('certificates', () => void reload()), onOtherTab('account', () => void reload())]
    return () => {
      for (const end of ends) end()
    }
  }, [])
  return { kept, error, reload }
}

export default function Page({ facts }: { facts: Facts; path: string }) {
  const { kept, error, reload } = useKept()
  const { client, trouble } = useClient(facts)
  return (
    <>
      <h1>{text.title}</h1>
      <p class="lead">{text.lead}</p>
      {trouble && (
        <Notice kind="warn">
          <p>{requestText.trouble(trouble.detail, requestText.clock(trouble.retryAt))}</p>
        </Notice>
      )}
      {error !== null && (
        <Notice kind="bad">
          <p>{sentenceOf(error)}</p>
        </Notice>
      )}
      {kept && kept.certificates.length === 0 && (
        <>
          <p>{text.none}</p>
          <p>
            <a class="button primary" href="/request">
              {text.get}
            </a>
          </p>
        </>
      )}
      {kept?.certificates.map((certificate) => (
        <CertificateItem key={certificate.serial} certificate={certificate} account={kept.account} client={client} onChange={reload} />
      ))}
      {(kept || error !== null) && (
        <>
          <Elsewhere facts={facts} client={client} account={kept?.account ?? null} />
          <RevokeByKey client={client} />
        </>
      )}
      {kept && <AccountSection facts={facts} client={client} account={kept.account} onChange={reload} />}
    </>
  )
}
