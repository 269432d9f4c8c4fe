-- AlterTable
ALTER TABLE "account" ADD COLUMN     "external_account_binding" TEXT,
ADD COLUMN     "external_account_key_id" TEXT,
ADD COLUMN     "paused_at" BIGINT,
ADD COLUMN     "paused_reason" TEXT;

-- AlterTable
ALTER TABLE "order" ADD COLUMN     "replaces" TEXT;

-- CreateTable
CREATE TABLE "external_account_key" (
    "id" TEXT NOT NULL,
    "sealed_key" BYTEA NOT NULL,
    "note" TEXT NOT NULL,
    "uses_left" INTEGER NOT NULL,
    "created_at" BIGINT NOT NULL,
    "expires_at" BIGINT,
    "revoked_at" BIGINT,

    CONSTRAINT "external_account_key_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "rate_limit" (
    "key" TEXT NOT NULL,
    "level" DOUBLE PRECISION NOT NULL,
    "at" BIGINT NOT NULL,
    "expires_at" BIGINT NOT NULL,

    CONSTRAINT "rate_limit_pkey" PRIMARY KEY ("key")
);

-- CreateTable
CREATE TABLE "limit_override" (
    "limit_name" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "count" INTEGER NOT NULL,
    "window_ms" BIGINT NOT NULL,

    CONSTRAINT "limit_override_pkey" PRIMARY KEY ("limit_name","subject")
);

-- CreateTable
CREATE TABLE "name_rule" (
    "list" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "reason" TEXT NOT NULL,
    "created_at" BIGINT NOT NULL,

    CONSTRAINT "name_rule_pkey" PRIMARY KEY ("list","name")
);

-- CreateTable
CREATE TABLE "renewal_mark" (
    "id" TEXT NOT NULL,
    "selector" TEXT NOT NULL,
    "reason" TEXT NOT NULL,
    "explanation_url" TEXT,
    "spread_ms" BIGINT NOT NULL,
    "marked_at" BIGINT NOT NULL,

    CONSTRAINT "renewal_mark_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "account_external_account_key_id_idx" ON "account"("external_account_key_id");

-- What the Prisma schema cannot say: few orders replace a certificate.
CREATE INDEX "order_replaces" ON "order"("replaces") WHERE "replaces" IS NOT NULL;
