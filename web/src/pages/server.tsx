import { useEffect, useState } from 'preact/hooks'
import type { Facts } from '../../../src/api/facts.js'
import type { ServerName } from '../../../src/app-paths.js'
import { type PageProps, serverAt } from '../shell/pages.js'
import { text } from '../text/en.js'
import { Copy } from '../ui/copy.js'
import { Notice } from '../ui/notice.js'
import { Servers } from '../ui/servers.js'
import { Busy } from '../ui/spinner.js'

const t = text.servers

type Guide = ({ html: string } | { code: string; language: string })[] | null

const guides: Record<ServerName, () => Promise<{ default: Guide }>> = {
  prosody: () => import('virtual:guide/prosody'),
  ejabberd: () => import('virtual:guide/ejabberd'),
  openfire: () => import('virtual:guide/openfire'),
  snikket: () => import('virtual:guide/snikket'),
  mongooseim: () => import('virtual:guide/mongooseim'),
  tigase: () => import('virtual:guide/tigase'),
}

/** The documents speak of a CA at these addresses. */
const WRITTEN = 'https://ica.example.org'
const WRITTEN_STATUS = 'http://status.ica.example.org'

const baseOf = (url: string): string => new URL(url).origin

/** A text of a document with the addresses of this CA. */
const localised = (source: string, facts: Facts): string =>
  source.replaceAll(WRITTEN_STATUS, baseOf(facts.root.pem)).replaceAll(WRITTEN, baseOf(facts.directory))

export default function Page({ facts, path }: PageProps) {
  const name = serverAt(path)
  return <Document key={name} name={name} facts={facts} />
}

const Others = ({ name }: { name: string }) => (
  <>
    <h2>{t.others}</h2>
    <Servers but={name} />
  </>
)

const Document = ({ name, facts }: { name: ServerName; facts: Facts }) => {
  const [guide, setGuide] = useState<Guide | undefined>(undefined)
  const [failed, setFailed] = useState(false)
  useEffect(() => {
    guides[name]().then(
      (module) => setGuide(module.default),
      () => setFailed(true),
    )
  }, [name])
  if (failed) {
    return (
      <>
        <h1>{t.title(t.names[name])}</h1>
        <Notice kind="bad" title={text.shell.noPage}>
          <p>{text.shell.noPageDetail}</p>
        </Notice>
      </>
    )
  }
  if (guide === undefined) return <Busy label={text.shell.loading} />
  if (guide === null) {
    return (
      <>
        <h1>{t.title(t.names[name])}</h1>
        <Notice kind="info" title={t.none(t.names[name])}>
          <p>{t.noneDetail}</p>
        </Notice>
        <Others name={name} />
      </>
    )
  }
  return (
    <article>
      {guide.map((block) =>
        'html' in block ? (
          <div key={block.html} dangerouslySetInnerHTML={{ __html: localised(block.html, facts) }} />
        ) : (
          <Copy key={block.code} label={block.language === 'sh' ? t.commands : t.configuration} value={localised(block.code, facts)} />
        ),
      )}
      <Others name={name} />
    </article>
  )
}
