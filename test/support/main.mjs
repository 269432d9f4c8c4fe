/** The program as it was built: a file of its own, so that node:cluster can start it again. */
import { main } from '../../dist/main.js'

await main(process.argv.slice(2))
