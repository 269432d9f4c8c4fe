/** What the mails say. Every value is text; what makes HTML or a header of it escapes it there. */
import type { Block } from './html.js'

export type MailText = { subject: string; blocks: Block[] }

/** Who writes. */
export type Sender = { name: string; website: string }

/** `2026-11-23 22:50 UTC`. */
export const showMoment = (ms: number): string => `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`

export type ValidationFacts = {
  /** With `*.` for a wildcard. */
  name: string
  /** RFC 7638 thumbprint of the account's key. */
  thumbprint: string
  requester: string | null
  at: number
  expiresAt: number
  link: string
}

export const validationText = (sender: Sender, facts: ValidationFacts): MailText => ({
  subject: `Confirm a certificate for ${facts.name}`,
  blocks: [
    `Somebody has asked ${sender.name} for a certificate for the XMPP domain ${facts.name}. You get this message because this address answers for the domain.`,
    {
      facts: [
        ['Domain', facts.name],
        ['Account key', facts.thumbprint],
        ['Asked from', facts.requester ?? 'an unknown address'],
        ['Asked at', showMoment(facts.at)],
      ],
    },
    'If it was you, or somebody whom you allow to, open this page and press the button on it. Opening the page alone changes nothing.',
    { link: facts.link, label: `To confirm, until ${showMoment(facts.expiresAt)}` },
    'If not, do nothing: without confirmation there is no certificate. The page also has a button to say that it was not you.',
    `${sender.name}, ${sender.website}`,
  ],
})

/** A certificate as a notice tells of it. */
export type CertificateFacts = { serial: string; names: string[]; profile: string; notBefore: number; notAfter: number }

const certificateFacts = ({ serial, names, profile, notAfter }: CertificateFacts): Block => ({
  facts: [
    ['Names', names.join(', ')],
    ['Serial', serial],
    ['Profile', profile],
    ['Valid until', showMoment(notAfter)],
  ],
})

const first = (names: readonly string[]): string => (names.length > 1 ? `${names[0]} and ${names.length - 1} more` : (names[0] ?? 'your service'))

export const issuedText = (_: Sender, certificate: CertificateFacts): MailText => ({
  subject: `Certificate issued for ${first(certificate.names)}`,
  blocks: [
    'A certificate was issued to your account:',
    certificateFacts(certificate),
    'If you did not order it, somebody has the key of your account: revoke the certificate and close the account.',
  ],
})

export const expiringText = (_: Sender, certificate: CertificateFacts, now: number): MailText => {
  const left = certificate.notAfter - now
  const time = left >= 172_800_000 ? `${Math.floor(left / 86_400_000)} days` : `${Math.max(1, Math.floor(left / 3_600_000))} hours`
  return {
    subject: `Certificate for ${first(certificate.names)} expires in ${time}`,
    blocks: [
      `This certificate expires in ${time}, and no newer one with all of its names is known here:`,
      certificateFacts(certificate),
      'Renew it, or look why your ACME client has not. If you need it no longer, there is nothing to do.',
    ],
  }
}

export const revokedText = (sender: Sender, certificate: CertificateFacts, reason: string, keyBlocked: boolean): MailText => ({
  subject: `Certificate revoked for ${first(certificate.names)}`,
  blocks: [
    'A certificate of your account was revoked, and not by your account:',
    certificateFacts(certificate),
    { facts: [['Reason', reason]] },
    ...(keyBlocked ? ['Its key is known to be compromised and is blocked for ever. Make a new key; the old one is refused.'] : []),
    `Get a new certificate for your server. Questions: ${sender.website}`,
  ],
})

export const keyBlockedText = (sender: Sender, keyId: string, reason: string): MailText => ({
  subject: 'A key of your certificates is blocked',
  blocks: [
    'The operator of the CA has blocked a key that valid certificates of your account have. No certificate will be issued for it any more.',
    {
      facts: [
        ['Key (SHA-256)', keyId],
        ['Reason', reason],
      ],
    },
    `Make a new key and renew the certificates. Questions: ${sender.website}`,
  ],
})

/** What stands below every notice. `known`: somebody at the mailbox has said that these are wanted; until then few are sent. */
export const noticeFooter = (sender: Sender, unsubscribe: string, known: boolean): Block[] => [
  `You get this notice because your address is a contact of an ACME account at ${sender.name} (${sender.website}).` +
    (known ? '' : ' Nobody at your address has said yet that notices are wanted, so only a few a day are sent.'),
  { link: unsubscribe, label: known ? 'To get no more of them' : 'To get all of them, or no more' },
]
