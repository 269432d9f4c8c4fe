/** What a kind of certificate is good for, judged for an example: where the ACME directory points to. */
import { expectedLeaf } from '../../../src/pki/expected-leaf.js'
import { JudgementList } from '../request/judgement.js'
import type { PageProps } from '../shell/pages.js'
import { profileAt } from '../shell/pages.js'
import { text } from '../text/en.js'
import { Notice } from '../ui/notice.js'

const t = text.profile
const example = 'example.org'

export default function Page({ facts, path }: PageProps) {
  const name = profileAt(path)
  const profile = facts.profiles.find((one) => one.name === name)
  if (!profile) {
    return (
      <>
        <h1>{t.title(name)}</h1>
        <Notice kind="bad" title={t.none(name)}>
          <p>{t.noneDetail(facts.profiles.map((one) => one.name))}</p>
        </Notice>
      </>
    )
  }
  const names = profile.services
    ? { domains: [], services: [`_xmpp-client.${example}`, `_xmpp-server.${example}`] }
    : { domains: [example], services: [] }
  return (
    <>
      <h1>{t.title(name)}</h1>
      <p class="lead">{profile.description}</p>
      <p>{t.validity(Math.round(profile.validityMs / 86_400_000))}</p>
      <h2>{t.judgement}</h2>
      <p>{t.judgementLead(example)}</p>
      <JudgementList leaf={expectedLeaf(profile, names, Date.now())} domain={example} />
      <h2>{t.others}</h2>
      <ul>
        {facts.profiles
          .filter((one) => one !== profile)
          .map((one) => (
            <li key={one.name}>
              <a href={`/profiles/${one.name}`}>{one.name}</a>: {one.description}
            </li>
          ))}
      </ul>
    </>
  )
}
