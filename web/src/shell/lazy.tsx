/** A part of a page that is loaded by itself. */
import type { ComponentType } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { text } from '../text/en.js'
import { Notice } from '../ui/notice.js'
import { Busy } from '../ui/spinner.js'

export type Lazy<Props> = ComponentType<Props> & { /** Loads it before it is shown. */ load(): Promise<void> }

/** A component of a module that is loaded when it is first shown. A failure is said where it would be, and tried again by a reload: browsers remember it. */
export const lazy = <Props extends object>(load: () => Promise<ComponentType<Props>>): Lazy<Props> => {
  let Loaded: ComponentType<Props> | null = null
  const ensure = async (): Promise<void> => {
    Loaded ??= await load()
  }
  const Component = (props: Props) => {
    const [state, setState] = useState<'busy' | 'there' | 'failed'>('busy')
    useEffect(() => {
      ensure().then(
        () => setState('there'),
        () => setState('failed'),
      )
    }, [])
    if (Loaded) return <Loaded {...props} />
    return state === 'failed' ? <Unloaded /> : <Busy label={text.shell.loading} />
  }
  return Object.assign(Component, { load: ensure })
}

const Unloaded = () => (
  <Notice kind="bad" title={text.shell.noPage}>
    <p>{text.shell.noPageDetail}</p>
    <p>
      <button type="button" onClick={() => location.reload()}>
        {text.shell.reload}
      </button>
    </p>
  </Notice>
)
