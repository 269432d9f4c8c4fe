/** A delivery status notification as Postfix writes them (RFC 3464, RFC 6522). */

export type BounceWish = {
  /** Of the mail in the outbox. */
  id: string
  to?: string
  action?: string
  messageId?: string | null
  envelopeId?: string
  /** Groups of other recipients. */
  before?: string
}

export const bounceOf = ({ id, to, action = 'failed', messageId, envelopeId, before = '' }: BounceWish): Buffer =>
  Buffer.from(
    [
      'Return-Path: <>',
      'Date: Mon, 23 Nov 2026 23:00:00 +0000 (UTC)',
      'From: MAILER-DAEMON@mx.test (Mail Delivery System)',
      'Subject: Undelivered Mail Returned to Sender',
      `To: ${to ?? `bounce+${id}@ica.test`}`,
      'Auto-Submitted: auto-replied',
      'MIME-Version: 1.0',
      'Content-Type: multipart/report; report-type=delivery-status;',
      '\tboundary="4FGH.1700000000/mx.test"',
      '',
      'This is a MIME-encapsulated message.',
      '',
      '--4FGH.1700000000/mx.test',
      'Content-Description: Notification',
      'Content-Type: text/plain; charset=us-ascii',
      '',
      'This is the mail system at host mx.test. I am sorry to have to inform you ...',
      '',
      '--4FGH.1700000000/mx.test',
      'Content-Description: Delivery report',
      'Content-Type: message/delivery-status',
      '',
      'Reporting-MTA: dns; mx.test',
      ...(envelopeId === undefined ? [] : [`Original-Envelope-Id: ${envelopeId}`]),
      'Arrival-Date: Mon, 23 Nov 2026 23:00:00 +0000 (UTC)',
      '',
      `${before}Final-Recipient: rfc822; nobody@example.org`,
      'Original-Recipient: rfc822;nobody@example.org',
      `Action: ${action}`,
      'Status: 5.1.1',
      'Remote-MTA: dns; mail.example.org',
      'Diagnostic-Code: smtp; 550 5.1.1 <nobody@example.org>: No such',
      '    user',
      '',
      '--4FGH.1700000000/mx.test',
      'Content-Description: Undelivered Message Headers',
      'Content-Type: text/rfc822-headers',
      '',
      'From: Test CA <ca@ica.test>',
      'To: nobody@example.org',
      ...(messageId === null ? [] : [`Message-ID: ${messageId ?? `<${id}@ica.test>`}`]),
      'Subject: Confirm a certificate for example.org',
      '',
      '--4FGH.1700000000/mx.test--',
      '',
    ].join('\r\n'),
  )
