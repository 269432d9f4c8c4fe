import { CommanderError } from 'commander'
import { explain } from './cli/context.js'
import { say } from './cli/output.js'
import { createProgram } from './cli/program.js'

/**
 * Runs a command. `argv` without node and script. Sets the exit code; `serve` goes on after this returns.
 */
export const main = async (argv: string[]): Promise<void> => {
  try {
    await createProgram().parseAsync(argv, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode
      return
    }
    const message = explain(error)
    if (message === null) throw error
    say(`xmpp-ica: ${message}`)
    process.exitCode = 1
  }
}
