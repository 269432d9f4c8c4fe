/** Where the certificate comes from: options, or what the ACME clients tell their deploy hooks. */
import path from 'node:path'
import { OperatorError } from '../open.js'

/** Files in PEM. `domain`: the name that the client calls the certificate by; null where it tells none. */
export type Source = { chain: string; key: string; domain: string | null; from: string }

type Environment = Record<string, string | undefined>

/** What each client hands over, in the order in which they are looked for. */
const clients: { from: string; read: (env: Environment) => Omit<Source, 'from'> | null }[] = [
  {
    // https://eff-certbot.readthedocs.io/en/stable/using.html#renewing-certificates
    from: 'certbot',
    read: ({ RENEWED_LINEAGE: lineage, RENEWED_DOMAINS: domains }) =>
      lineage
        ? { chain: path.join(lineage, 'fullchain.pem'), key: path.join(lineage, 'privkey.pem'), domain: domains?.trim().split(/\s+/)[0] || null }
        : null,
  },
  {
    // lego 5 (https://go-acme.github.io/lego/advanced/hooks/)
    from: 'lego',
    read: ({ LEGO_HOOK_CERT_PATH: chain, LEGO_HOOK_CERT_KEY_PATH: key, LEGO_HOOK_CERT_NAME: name }) =>
      chain && key ? { chain, key, domain: name || null } : null,
  },
  {
    // lego before 5
    from: 'lego',
    read: ({ LEGO_CERT_PATH: chain, LEGO_CERT_KEY_PATH: key, LEGO_CERT_DOMAIN: domain }) =>
      chain && key ? { chain, key, domain: domain || null } : null,
  },
  {
    // acme.sh, --reloadcmd
    from: 'acme.sh',
    read: ({ CERT_FULLCHAIN_PATH: chain, CERT_KEY_PATH: key, Le_Domain: domain }) => (chain && key ? { chain, key, domain: domain || null } : null),
  },
]

/** dehydrated calls its hook with an operation in front: `deploy_cert DOMAIN KEYFILE CERTFILE FULLCHAINFILE …`; of every other operation there is nothing to do. */
const fromDehydrated = ([operation, domain, key, , chain]: readonly string[]): Source | 'nothing to do' | null => {
  if (operation === undefined) return null
  if (operation !== 'deploy_cert') return 'nothing to do'
  if (!domain || !key || !chain) throw new OperatorError('dehydrated’s deploy_cert comes with a domain and four files; some are missing.')
  return { chain, key, domain, from: 'dehydrated' }
}

/**
 * The certificate to deploy: what the options name; else what dehydrated's arguments or the environment say.
 * @returns 'nothing to do' where dehydrated calls for something else
 * @throws OperatorError where nothing names a certificate
 */
export const findSource = (
  options: { chain?: string; key?: string },
  hookArguments: readonly string[],
  environment: Environment,
): Source | 'nothing to do' => {
  const { chain, key } = options
  if (chain && key) return { chain, key, domain: null, from: '--chain and --key' }
  if (chain || key) throw new OperatorError(`${chain ? '--key' : '--chain'} is missing: --chain and --key go together.`)
  const called = fromDehydrated(hookArguments)
  if (called) return called
  for (const { from, read } of clients) {
    const found = read(environment)
    if (found) return { ...found, from }
  }
  throw new OperatorError(
    'Which certificate? Name it by --chain FILE --key FILE, or let certbot (--deploy-hook), lego (--run-hook, --renew-hook), acme.sh (--reloadcmd) or dehydrated (HOOK) call this.',
  )
}
