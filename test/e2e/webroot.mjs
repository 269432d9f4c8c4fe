// A web server with one folder, for clients that answer http-01 by a file: node webroot.mjs FOLDER HOST PORT
import { readFile } from 'node:fs'
import { createServer } from 'node:http'
import path from 'node:path'

const [folder, host, port] = process.argv.slice(2)
createServer((request, response) => {
  const file = path.join(folder, path.posix.normalize(`/${decodeURIComponent(request.url ?? '/')}`))
  readFile(file, (error, content) => {
    response.statusCode = error ? 404 : 200
    response.end(error ? 'not found\n' : content)
  })
}).listen(Number(port), host)
