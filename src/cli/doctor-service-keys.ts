/** Whether the status side, and nobody else, can get at the keys that are made for it. */
import { existsSync, statSync } from 'node:fs'
import path from 'node:path'
import type { Config } from '../config.js'
import { readServicePassphrase } from '../keystore-open.js'
import { responderFiles } from '../keystore-service.js'

type Report = (check: string, result: 'ok' | 'warning' | 'error', detail: string) => void

const octal = (mode: number): string => (mode & 0o7777).toString(8)

/** What is wrong with the folder or a file in it, and what to do; null where its group can read it, and nobody else. */
const fault = (file: string, gid: number | null, wanted: number): string | null => {
  const found = statSync(file)
  if ((found.mode & 0o777) !== wanted) return `${file} has the mode ${octal(found.mode)}: chmod ${octal(wanted)} ${file}`
  if (gid !== null && found.gid !== gid) return `${file} belongs to another group than its folder: chgrp ${gid} ${file}`
  return null
}

const checkFolder = (folder: string, report: Report): void => {
  if (!existsSync(folder)) {
    report('status keys', 'warning', `${folder} does not exist: make it, and give it to the group of the status side.`)
    return
  }
  const { gid } = statSync(folder)
  const faults = [fault(folder, null, 0o750), ...responderFiles(folder).map((name) => fault(path.join(folder, name), gid, 0o640))]
  const wrong = faults.filter((one) => one !== null)
  for (const one of wrong) report('status keys', 'error', one)
  if (wrong.length === 0) report('status keys', 'ok', `${folder}: for its owner and the group ${gid} alone`)
}

/** The passphrase of the service keys, and the modes in the folder that the status side reads. `passphrase`: of the CA keys, which must be another. */
export const checkServiceKeys = ({ servicePassphraseFile, statusKeys }: Config, passphrase: string, report: Report): void => {
  try {
    readServicePassphrase(servicePassphraseFile, passphrase)
    if (statusKeys !== null) checkFolder(statusKeys, report)
  } catch (error) {
    report('status keys', 'error', (error as Error).message)
  }
}
