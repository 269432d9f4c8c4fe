import { Fragment } from 'preact'

/** A name that may break after a dot where a line is too short for it, and nowhere else. */
export const DomainName = ({ name }: { name: string }) => (
  <>
    {name.split(/(?<=\.)/).map((label, at) => (
      <Fragment key={at}>
        {at > 0 && <wbr />}
        {label}
      </Fragment>
    ))}
  </>
)
