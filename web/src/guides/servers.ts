/**
 * How each server's software takes the files of the form and learns to trust the root, in short: data. Where files go, whose they are and how the server is told comes
 * from what `xmpp-ica deploy` does; the rest agrees with the guides in docs/servers/, which say more.
 */
import { type FileContent, serverKits } from '../../../src/deploy/servers.js'

export const guideNames = ['prosody', 'ejabberd', 'openfire', 'snikket', 'tigase', 'mongooseim'] as const
export type GuideName = (typeof guideNames)[number]

/** Which of the saved files a server wants. */
export type FileKind = 'chain' | 'key' | 'both' | 'p12'

/** One thing to do: commands (a shell as root), a piece of a configuration file (`title` is its path), or a sentence alone. */
export type GuideStep = { title: string; lines: string[] | null }

export type Guide = { label: string; files: readonly FileKind[]; install: GuideStep[]; trust: GuideStep[] }

/** Names of the files of a certificate. A wildcard's asterisk is none of them. */
export const fileNames = (domain: string): Record<FileKind | 'der', string> => {
  const base = domain.replace(/^\*\./, '')
  return { chain: `${base}.crt`, key: `${base}.key`, both: `${base}.pem`, p12: `${base}.p12`, der: `${base}.der` }
}

const kinds: Record<FileContent, FileKind> = { chain: 'chain', key: 'key', 'chain and key': 'both' }

const shell = 'As root, in the folder with the files'
const then = (...lines: string[]): GuideStep => ({ title: 'Then', lines })

/** `ica-root.pem` is the root as the page about trust has it fetched and checked. */
const bundle = (file: string): GuideStep => ({
  title: 'As root: the root certificates of the system and ours (ica-root.pem as “Trust the root” says)',
  lines: [`cat /etc/ssl/certs/ca-certificates.crt ica-root.pem > ${file}`],
})

/** What is particular to a server: what stands in its configuration besides, how it is told, and how it trusts. `path` gives the place of an installed file. */
type Particulars = {
  before?: GuideStep
  configuration?: (path: (kind: FileKind) => string) => GuideStep
  /** In place of the command of `deploy`, where that has none. */
  tell?: GuideStep
  trust: GuideStep[]
}

const particulars: Record<GuideName, Particulars> = {
  prosody: {
    trust: [
      {
        title: 'As root, with ica-root.pem as “Trust the root” says. Prosody goes on to trust the roots of the system beside it',
        lines: ['install -m 644 ica-root.pem /etc/prosody/ica-root.pem'],
      },
      {
        title: '/etc/prosody/prosody.cfg.lua, above the first VirtualHost',
        lines: ['s2s_ssl = { cafile = "/etc/prosody/ica-root.pem" }', 's2s_secure_auth = true'],
      },
      then('systemctl restart prosody'),
    ],
  },
  ejabberd: {
    configuration: () => ({ title: '/etc/ejabberd/ejabberd.yml', lines: ['certfiles:', '  - /etc/ejabberd/certs/*.pem'] }),
    trust: [
      bundle('/etc/ejabberd/roots.pem'),
      { title: '/etc/ejabberd/ejabberd.yml', lines: ['s2s_cafile: /etc/ejabberd/roots.pem', 's2s_use_starttls: required'] },
      then('ejabberdctl reload_config'),
    ],
  },
  openfire: {
    tell: {
      title:
        'Openfire’s plugin Certificate Manager takes them from there by itself. Without it, import both files in the administration console: TLS/SSL Certificates → XMPP domain certificates → import.',
      lines: null,
    },
    trust: [
      {
        title:
          'In the administration console: Server → TLS/SSL Certificates → Trust store used for connections from/to other servers → import ica-root.pem. Not into the one for clients: it would let servers log in as users.',
        lines: null,
      },
    ],
  },
  snikket: {
    before: {
      title:
        'Snikket shows one certificate to servers, apps and browsers, and the latter do not know our root: for a Snikket whose users have not installed it, only trust the root (below). Snikket’s own certificate service would replace the files: remove snikket_certs from docker-compose.yml, and the container.',
      lines: ['docker rm -f snikket-certs'],
    },
    trust: [
      {
        title: 'As root, with ica-root.pem as “Trust the root” says; Snikket goes on to trust the public roots beside it',
        lines: ['install -m 644 ica-root.pem /var/lib/docker/volumes/snikket_data/_data/prosody/ica-root.pem'],
      },
      {
        title: '/var/lib/docker/volumes/snikket_data/_data/prosody/ica.cfg.lua',
        lines: ['s2s_ssl = { cafile = "/snikket/prosody/ica-root.pem" }'],
      },
      then('docker restart snikket'),
    ],
  },
  tigase: {
    tell: then('systemctl restart tigase-server'),
    trust: [
      {
        title: 'As root, with ica-root.pem as “Trust the root” says',
        lines: ['cp ica-root.pem /opt/tigase-server/certs/trusted/', 'systemctl restart tigase-server'],
      },
    ],
  },
  mongooseim: {
    configuration: (path) => ({
      title: '/etc/mongooseim/mongooseim.toml, for [[listen.c2s]], [[listen.s2s]] and [s2s.outgoing] alike',
      lines: [`tls.certfile = "${path('chain')}"`, `tls.keyfile = "${path('key')}"`],
    }),
    tell: {
      title: 'New connections get the new certificate within two minutes; after a change of the configuration restart MongooseIM.',
      lines: null,
    },
    trust: [
      bundle('/etc/mongooseim/roots.pem'),
      {
        title: '/etc/mongooseim/mongooseim.toml, for [[listen.s2s]] and [s2s.outgoing], not for clients',
        lines: ['tls.cacertfile = "/etc/mongooseim/roots.pem"'],
      },
      then('mongooseimctl restart'),
    ],
  },
}

/** What to do with the files of the certificate of `domain` (A-label). */
export const guideFor = (name: GuideName, domain: string): Guide => {
  const kit = serverKits.get(name)
  if (!kit) throw new Error(`There is no server ${name}.`)
  const { before, configuration, tell, trust } = particulars[name]
  const saved = fileNames(domain)
  const files = kit.files(domain).map((file) => ({ kind: kinds[file.content], path: `${kit.folder}/${file.name}` }))
  const pathOf = (kind: FileKind): string => files.find((file) => file.kind === kind)?.path ?? ''
  const install: GuideStep = {
    title: shell,
    lines: files.map(({ kind, path }) => `install -D -o ${kit.owner} -g ${kit.group} -m 640 ${saved[kind]} ${path}`),
  }
  const told = tell ?? (kit.reload && then(kit.reload.join(' ')))
  return {
    label: kit.label,
    files: files.map(({ kind }) => kind),
    install: [before, install, configuration?.(pathOf), told].filter((step) => step !== undefined && step !== null),
    trust,
  }
}
