/** The whole program in this process, on a port of its own with a fresh database, and a client of its public JSON. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { buildCa } from '../../src/build.js'
import type { Clock } from '../../src/clock.js'
import { parseConfig } from '../../src/config.js'
import { openCore, openLogging } from '../../src/open.js'
import { startCa } from '../../src/running.js'
import { type DnsServer, startDnsServer } from '../support/dns-server.js'
import { freePort } from '../support/program.js'

// biome-ignore lint/suspicious/noExplicitAny: answers are judged by what the tests expect of them
export type Answer = { status: number; headers: Headers; json: any; text: string }

export type TestProgram = Awaited<ReturnType<typeof startProgram>>

/** @param environment beside an ICA_URL with a free port, a laboratory, and `dns` as resolver, whose servers are asked at its port too; `clock` in place of the wall's */
export const startProgram = async (environment: Record<string, string> = {}, clock?: Clock) => {
  const folder = mkdtempSync(path.join(tmpdir(), 'ica-api-'))
  const dns: DnsServer = await startDnsServer(['test', 'unreserved.org'])
  const port = await freePort()
  const config = parseConfig(
    {
      ICA_URL: `http://localhost:${port}`,
      ICA_LAB: '1',
      ICA_DNS_SERVERS: dns.address,
      ICA_DNS_PORT: String(dns.port),
      ICA_LOG_LEVEL: 'silent',
      ...environment,
    },
    folder,
  )
  const opened = await openCore(config, openLogging(config), { create: true, actor: 'system', purpose: 'test' })
  const core = clock ? { ...opened, clock } : opened
  const ca = buildCa(core, '0.0.0-test')
  const running = await startCa(core, ca, path.join(folder, 'no-web'))
  const base = `http://127.0.0.1:${port}`
  return {
    base,
    core,
    ca,
    dns,
    async ask(target: string, init: RequestInit = {}): Promise<Answer> {
      const response = await fetch(`${base}${target}`, init)
      const text = await response.text()
      const isJson = /json/.test(response.headers.get('content-type') ?? '') && text !== ''
      return { status: response.status, headers: response.headers, json: isJson ? JSON.parse(text) : null, text }
    },
    async close() {
      await running.stop()
      await dns.close()
      rmSync(folder, { recursive: true })
    },
  }
}
