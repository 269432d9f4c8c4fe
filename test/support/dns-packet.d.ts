/** The part of dns-packet that test/support/dns-server.ts uses; the package has no types of its own. */
declare module 'dns-packet' {
  export type Question = { name: string; type: string; class: string }
  export type Resource = { name: string; type: string; class?: string; ttl?: number; data?: unknown }
  export type Packet = {
    id: number
    type?: 'query' | 'response'
    flags?: number
    questions: Question[]
    answers?: Resource[]
    authorities?: Resource[]
    additionals?: (Resource & { udpPayloadSize?: number })[]
  }
  export const RECURSION_DESIRED: number
  export const RECURSION_AVAILABLE: number
  export const AUTHORITATIVE_ANSWER: number
  export const TRUNCATED_RESPONSE: number
  export function encode(packet: Packet): Buffer
  export function decode(message: Buffer): Packet
}
