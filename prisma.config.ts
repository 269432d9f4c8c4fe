/** For people who run Prisma's own tools (`npx prisma studio`) on the database. The program itself does not read this: see src/store/. */
import { defineConfig } from 'prisma/config'

const url = process.env.DATABASE_URL ?? 'file:./data/ica.db'
const provider = url.startsWith('file:') ? 'sqlite' : 'postgresql'

export default defineConfig({
  schema: provider === 'sqlite' ? 'prisma/schema.prisma' : 'prisma/postgresql.prisma',
  migrations: { path: `prisma/migrations/${provider}` },
  datasource: { url },
})
