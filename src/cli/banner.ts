/** What the start says. */
import { clientSteps, type Facts, rootSteps } from '../api/facts.js'
import type { Config } from '../config.js'
import { facts as lines, when } from './output.js'

/** The facts of a CA in words, as the page has them. */
export const describe = (facts: Facts): string =>
  lines(
    [
      ['ACME directory', facts.directory],
      ['root certificate', [facts.root.pem, `valid until ${when(facts.root.notAfter)}`]],
      ['SHA-256', facts.root.sha256],
      ['OCSP', facts.ocsp],
      ['CRL', facts.crls],
    ],
    '  ',
  )

export const banner = (facts: Facts, config: Config, passphraseFile: { file: string; generated: boolean }, notes: string[]): string => {
  const steps = clientSteps(facts).map(({ title, lines: commands }): [string, string[]] => [title, commands])
  const parts = [
    `xmpp-ica ${facts.version}: ${facts.name}\nA certification authority for the XMPP network. More at ${config.url}/`,
    describe(facts),
    ...(facts.needsRoot
      ? [
          `First fetch the root certificate and compare its fingerprint:\n${rootSteps(facts)
            .map((line) => `  ${line}`)
            .join('\n')}`,
        ]
      : []),
    `A certificate for your XMPP domain, here example.org:\n${lines(steps, '  ')}`,
    ...notes.map((note) => `NOTE: ${note}`),
    ...(config.lab ? ['LABORATORY (ICA_LAB=1): private addresses may be validated. Certificates of this CA prove nothing to anybody else.'] : []),
    ...(passphraseFile.generated
      ? [
          `FOR TRYING OUT: nobody set a passphrase for the CA keys, so one was generated. It lies in ${passphraseFile.file}, beside what it protects.\n` +
            'Before anybody relies on this CA, keep it apart from the keys and say where: ICA_KEY_PASSPHRASE_FILE=/path/to/file',
        ]
      : []),
  ]
  return `${parts.join('\n\n')}\n`
}
