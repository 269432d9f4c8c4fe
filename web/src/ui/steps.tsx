import { text } from '../text/en.js'

/** Where a person is in a sequence of steps. `current` counts from 0; items before it are done. */
export const Steps = ({ current, items }: { current: number; items: string[] }) => (
  <ol class="steps" aria-label={text.ui.steps}>
    {items.map((item, index) => (
      <li key={item} class={index < current ? 'done' : undefined} aria-current={index === current ? 'step' : undefined}>
        <span>{item}</span>
        {index < current && <span class="hidden"> {text.ui.stepDone}</span>}
      </li>
    ))}
  </ol>
)
