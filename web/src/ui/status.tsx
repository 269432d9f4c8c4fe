import { text } from '../text/en.js'
import { Mark, type NoticeKind } from './notice.js'

const kinds: Record<keyof typeof text.lookup.status, NoticeKind> = { good: 'good', revoked: 'bad', expired: 'warn' }

/** The status of a certificate, in a word with a sign. */
export const StatusMark = ({ status }: { status: keyof typeof text.lookup.status }) => (
  <span class="status">
    <Mark kind={kinds[status]} />
    {text.lookup.status[status]}
  </span>
)
