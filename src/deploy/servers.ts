/**
 * What each XMPP server wants: which files, for whom, and how it is told to read them again. `docs/servers/` says for which of them this was tried. The form's short
 * instructions are made from it, too, so nothing here needs Node.
 */

/** What a file holds, in PEM: the private key, the chain (leaf first), or the chain followed by the key. */
export type FileContent = 'key' | 'chain' | 'chain and key'

export type WantedFile = { name: string; content: FileContent }

export type ServerKit = {
  name: string
  label: string
  /** The folder in which it looks, as its Debian package or its own documentation has it. */
  folder: string
  files: (domain: string) => WantedFile[]
  /** Who may read the key: the owner and group of new files. Files that are there keep theirs. */
  owner: string
  group: string
  /** How it reads its files again without dropping connections; null where only a restart does. */
  reload: readonly string[] | null
  /** What to tell an administrator whose server cannot be told by a command. */
  restart?: string
}

/** `*.example.org` as part of a file name. */
const fileName = (domain: string): string => domain.replace(/^\*\./, '_.')

const pair = (domain: string): WantedFile[] => [
  { name: `${fileName(domain)}.key`, content: 'key' },
  { name: `${fileName(domain)}.crt`, content: 'chain' },
]

const kits: readonly ServerKit[] = [
  {
    name: 'prosody',
    label: 'Prosody',
    folder: '/etc/prosody/certs',
    files: pair,
    owner: 'root',
    group: 'prosody',
    reload: ['prosodyctl', 'reload'],
  },
  {
    name: 'ejabberd',
    label: 'ejabberd',
    folder: '/etc/ejabberd/certs',
    files: (domain) => [{ name: `${fileName(domain)}.pem`, content: 'chain and key' }],
    owner: 'root',
    group: 'ejabberd',
    reload: ['ejabberdctl', 'reload_config'],
  },
  {
    name: 'openfire',
    label: 'Openfire',
    folder: '/usr/share/openfire/resources/security/hotdeploy',
    files: () => [
      { name: 'privkey.pem', content: 'key' },
      { name: 'fullchain.pem', content: 'chain' },
    ],
    owner: 'openfire',
    group: 'openfire',
    reload: null,
    restart: 'Its Certificate Manager plugin reads the folder by itself; without the plugin, import both files in the administration console.',
  },
  {
    name: 'snikket',
    label: 'Snikket',
    folder: '/var/lib/docker/volumes/snikket_data/_data/letsencrypt/live',
    files: (domain) => [
      { name: `${fileName(domain)}/privkey.pem`, content: 'key' },
      { name: `${fileName(domain)}/fullchain.pem`, content: 'chain' },
    ],
    owner: 'root',
    group: 'root',
    reload: ['docker', 'exec', 'snikket', 'prosodyctl', '--root', 'cert', 'import', '/snikket/letsencrypt/live'],
  },
  {
    name: 'mongooseim',
    label: 'MongooseIM',
    folder: '/etc/mongooseim/ssl',
    files: pair,
    owner: 'root',
    group: 'mongooseim',
    reload: null,
    restart: 'New connections get the new certificate within two minutes, when its Erlang runtime reads the files again.',
  },
  {
    name: 'tigase',
    label: 'Tigase',
    folder: '/opt/tigase-server/certs',
    files: (domain) => [{ name: `${fileName(domain)}.pem`, content: 'chain and key' }],
    owner: 'tigase',
    group: 'tigase',
    reload: null,
    restart: 'Restart it: systemctl restart tigase-server',
  },
]

export const serverKits: ReadonlyMap<string, ServerKit> = new Map(kits.map((kit) => [kit.name, kit]))
