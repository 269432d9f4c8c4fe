/** The form: Domain → Names → Key → Proof → Certificate. Its state is the draft in store.ts; the address says which step is shown, so that the back button works. */
import { useEffect, useState } from 'preact/hooks'
import type { Facts } from '../../../src/api/facts.js'
import { type Lazy, lazy } from '../shell/lazy.js'
import { navigate } from '../shell/router.js'
import { forgetDraft, holdRequest, isDurable, readDraft, saveDraft } from '../store.js'
import { requestText as text } from '../text/en-request.js'
import { Notice } from '../ui/notice.js'
import { Busy } from '../ui/spinner.js'
import { Steps } from '../ui/steps.js'
import { DomainStep } from './domain-step.js'
import { type Draft, newDraft, type Step, steps } from './draft.js'
import { useClient } from './hooks.js'

export type StepProps = {
  facts: Facts
  draft: Draft
  /** Keeps the draft and shows the step that it is at. */
  go(draft: Draft): Promise<void>
  client: ReturnType<typeof useClient>['client']
}

const asked = (): URLSearchParams => new URLSearchParams(location.search)

/** The step to show: the one in the address where the draft has been there, otherwise the one that the draft is at. */
const shownStep = (draft: Draft): Step => {
  const step = asked().get('step') as Step
  const [at, wanted] = [steps.indexOf(draft.step), steps.indexOf(step)]
  // What is issued is issued; there is nothing to go back to.
  return wanted >= 0 && wanted < at && draft.step !== 'certificate' && draft.purpose === 'certificate' ? step : draft.step
}

/** Whether this tab is the one that works on the request; null while that is not known yet. */
const useHeld = (): [held: boolean | null, takeOver: () => void] => {
  const [held, setHeld] = useState<boolean | null>(null)
  const [steal, setSteal] = useState(0)
  useEffect(() => holdRequest(steal > 0, setHeld), [steal])
  return [held, () => setSteal(steal + 1)]
}

/** What comes after the first step is loaded after it, with the code for keys and certificates. */
const later: Record<Exclude<Step, 'domain'>, Lazy<StepProps>> = {
  names: lazy(async () => (await import('./names-step.js')).NamesStep),
  key: lazy(async () => (await import('./key-step.js')).KeyStep),
  proof: lazy(async () => (await import('./proof-step.js')).ProofStep),
  certificate: lazy(async () => (await import('./certificate-step.js')).CertificateStep),
}

const views = { domain: DomainStep, ...later }

/** A step that can't be loaded now says so when it is shown. */
const load = async (step: Step): Promise<void> => {
  if (step !== 'domain') await later[step].load().catch(() => {})
}

export default function Page({ facts }: { facts: Facts; path: string }) {
  const [held, takeOver] = useHeld()
  const [draft, setDraft] = useState<Draft | null>(null)
  const [durable, setDurable] = useState(true)
  const { client, trouble } = useClient(facts)
  /** What the database does not take goes on in this page alone, and the person is told. */
  const lose = () => setDurable(false)
  useEffect(() => {
    for (const step of steps) void load(step)
  }, [])
  useEffect(() => {
    void isDurable().then((can) => can || lose())
    if (!held) return
    const fresh = () => newDraft(asked().get('domain') ?? '')
    // Another tab may have taken it further before this one got it.
    readDraft().then(
      (kept) => setDraft(kept ?? fresh()),
      () => {
        lose()
        setDraft(fresh())
      },
    )
  }, [held])

  if (!globalThis.crypto?.subtle) return <Problem title={text.steps.key} detail={text.insecure} />
  if (held === false) return <Elsewhere onTakeOver={takeOver} />
  if (!draft || !held) return <Busy label={text.loading} />

  const go = async (next: Draft): Promise<void> => {
    await Promise.all([saveDraft(next).catch(lose), load(next.step)])
    setDraft(next)
    navigate(`/request?step=${next.step}`, { replace: next.step === draft.step })
  }
  const discard = async () => {
    if (draft.order && draft.step !== 'certificate' && !confirm(text.discardAsk)) return
    await forgetDraft().catch(lose)
    setDraft(newDraft())
    navigate('/request')
  }
  const step = shownStep(draft)
  const View = views[step]
  return (
    <>
      {draft.purpose === 'certificate' && <Steps current={steps.indexOf(step)} items={steps.map((name) => text.steps[name])} />}
      {!durable && (
        <Notice kind="warn">
          <p>{text.notKept}</p>
        </Notice>
      )}
      <View key={step} facts={facts} draft={draft} go={go} client={client} />
      <div role="status">
        {trouble && (
          <Notice kind="warn">
            <p>{text.trouble(trouble.detail, text.clock(trouble.retryAt))}</p>
          </Notice>
        )}
      </div>
      {step !== 'domain' && (
        <>
          <hr />
          <p class="row">
            {draft.purpose === 'certificate' && step !== 'certificate' && <a href={`/request?step=${steps[steps.indexOf(step) - 1]}`}>{text.back}</a>}
            <button type="button" class="small" onClick={discard}>
              {text.discard}
            </button>
          </p>
        </>
      )}
    </>
  )
}

const Problem = ({ title, detail }: { title: string; detail: string }) => (
  <>
    <h1>{title}</h1>
    <Notice kind="bad">
      <p>{detail}</p>
    </Notice>
  </>
)

const Elsewhere = ({ onTakeOver }: { onTakeOver: () => void }) => (
  <>
    <h1>{text.tabTitle}</h1>
    <p>{text.tab}</p>
    <p>
      <button type="button" class="primary" onClick={onTakeOver}>
        {text.tabHere}
      </button>
    </p>
  </>
)
