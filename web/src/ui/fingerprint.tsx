import { text } from '../text/en.js'
import { Copy } from './copy.js'

/** A fingerprint to be compared by eye, pair by pair. `value` is hex in pairs with colons, which is what is copied. */
export const Fingerprint = ({ value, label = text.fingerprint.copy }: { value: string; label?: string }) => (
  <Copy label={label} value={value}>
    <div class="fingerprint" role="img" aria-label={value.replaceAll(':', ' ')}>
      {value.split(':').map((pair, index) => (
        <span key={index}>{pair}</span>
      ))}
    </div>
  </Copy>
)
