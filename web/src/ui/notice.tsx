import type { ComponentChildren } from 'preact'
import { text } from '../text/en.js'

export type NoticeKind = 'info' | 'good' | 'warn' | 'bad'

/** Something to be noticed. The kind is said in words too, never by colour alone; a bad one is read out at once. */
export const Notice = ({ kind, title, children }: { kind: NoticeKind; title?: string; children?: ComponentChildren }) => (
  <div class={`notice ${kind}`} role={kind === 'bad' ? 'alert' : 'note'}>
    <Mark kind={kind} />
    <div>
      {title && <strong>{title}</strong>}
      {children}
    </div>
  </div>
)

const shapes: Record<NoticeKind, string> = {
  info: 'M8 7v4.5M8 4.4v.2',
  good: 'm4.5 8.3 2.4 2.4 4.6-5.2',
  warn: 'M8 4v5M8 11.4v.2',
  bad: 'm5.2 5.2 5.6 5.6m0-5.6-5.6 5.6',
}

/** A small sign for a kind, with its word for screen readers. */
export const Mark = ({ kind }: { kind: NoticeKind }) => (
  <svg class={`mark ${kind}`} viewBox="0 0 16 16" width="16" height="16" role="img" aria-label={text.ui.kinds[kind]}>
    {kind === 'warn' ? <path d="M8 .8 15.6 14.4H.4z" /> : <circle cx="8" cy="8" r="7.5" />}
    <path class="sign" d={shapes[kind]} />
  </svg>
)
