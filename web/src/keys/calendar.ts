/** A calendar file (RFC 5545) for those who renew by hand. */

/** §3.3.11. */
const escaped = (text: string): string => text.replace(/[\\;,]/g, '\\$&').replaceAll('\n', '\\n')

/** §3.1: lines of at most 75 octets; a fold never parts a character. */
const fold = (line: string): string => {
  const utf8 = new TextEncoder()
  let folded = ''
  let room = 75
  for (const character of line) {
    const size = utf8.encode(character).length
    if (size > room) {
      folded += '\r\n '
      room = 74
    }
    folded += character
    room -= size
  }
  return folded
}

/** §3.3.5 form 2. */
const utc = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`

export type Reminder = { uid: string; at: number; now: number; summary: string; description: string; url: string }

/** One event of half an hour with an alarm when it begins and one a day before. */
export const makeCalendar = ({ uid, at, now, summary, description, url }: Reminder): string => {
  const alarm = (trigger: string) => ['BEGIN:VALARM', 'ACTION:DISPLAY', `DESCRIPTION:${escaped(summary)}`, `TRIGGER:${trigger}`, 'END:VALARM']
  return [
    'BEGIN:VCALENDAR',
    'VERSION:2.0',
    'PRODID:-//xmpp-ica//EN',
    'BEGIN:VEVENT',
    `UID:${escaped(uid)}`,
    `DTSTAMP:${utc(now)}`,
    `DTSTART:${utc(at)}`,
    'DURATION:PT30M',
    `SUMMARY:${escaped(summary)}`,
    `DESCRIPTION:${escaped(description)}`,
    `URL:${url}`,
    'TRANSP:TRANSPARENT',
    ...alarm('PT0S'),
    ...alarm('-P1D'),
    'END:VEVENT',
    'END:VCALENDAR',
    '',
  ]
    .map(fold)
    .join('\r\n')
}
