/** Proof by a file on the domain's web server (RFC 8555 §8.3). */
import { keyAuthorization } from '../acme/client.js'
import { requestText as text } from '../text/en-request.js'
import { Copy } from '../ui/copy.js'
import { Download } from '../ui/download.js'
import { useAction } from './hooks.js'
import { Answer, type ProofProps, useLater } from './proof-dns.js'

const folder = '.well-known/acme-challenge'

export const HttpProof = ({ authorization, challenge, signer, respond }: ProofProps) => {
  const token = challenge.token ?? ''
  const content = useLater(() => keyAuthorization(token, signer.jwk), challenge.url)
  const { busy, error, run } = useAction()
  return (
    <>
      <p>{text.proof.http.lead}</p>
      <Copy label={text.proof.http.address} value={`http://${authorization.identifier.value}/${folder}/${token}`} />
      <Copy label={text.proof.http.content} value={content ?? '…'} />
      {content && (
        <p>
          <Download name={token} type="application/octet-stream" bytes={content}>
            {text.proof.http.download}
          </Download>
        </p>
      )}
      {challenge.status !== 'processing' && <Answer label={text.proof.http.check} busy={busy} error={error} onClick={() => run(() => respond({}))} />}
    </>
  )
}
