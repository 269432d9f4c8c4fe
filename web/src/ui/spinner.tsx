/** Says that something is going on. It shows itself after a moment only: what is quick should not flicker. */
export const Busy = ({ label }: { label: string }) => (
  <p class="busy" role="status">
    <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <circle cx="8" cy="8" r="6.5" />
    </svg>
    {label}
  </p>
)
