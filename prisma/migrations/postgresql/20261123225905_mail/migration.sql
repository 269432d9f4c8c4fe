-- AlterTable
ALTER TABLE "certificate" ADD COLUMN     "notice_at" BIGINT;

-- CreateTable
CREATE TABLE "mail" (
    "id" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "recipient" TEXT NOT NULL,
    "account_id" TEXT,
    "data" TEXT NOT NULL,
    "sealed" BYTEA,
    "urgent" BOOLEAN NOT NULL,
    "status" TEXT NOT NULL,
    "attempts" INTEGER NOT NULL,
    "next_attempt_at" BIGINT,
    "created_at" BIGINT NOT NULL,
    "expires_at" BIGINT NOT NULL,
    "changed_at" BIGINT NOT NULL,
    "detail" TEXT NOT NULL,
    "once" TEXT,

    CONSTRAINT "mail_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "confirmation" (
    "id" TEXT NOT NULL,
    "challenge_id" TEXT NOT NULL,
    "token_hash" TEXT NOT NULL,
    "address" TEXT NOT NULL,
    "requester" TEXT,
    "created_at" BIGINT NOT NULL,
    "expires_at" BIGINT NOT NULL,
    "outcome" TEXT,
    "decided_at" BIGINT,

    CONSTRAINT "confirmation_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "mail_opt_out" (
    "address" TEXT NOT NULL,
    "account_id" TEXT NOT NULL,
    "created_at" BIGINT NOT NULL,

    CONSTRAINT "mail_opt_out_pkey" PRIMARY KEY ("address","account_id")
);

-- CreateIndex
CREATE UNIQUE INDEX "mail_once_key" ON "mail"("once");

-- CreateIndex
CREATE UNIQUE INDEX "confirmation_token_hash_key" ON "confirmation"("token_hash");

-- CreateIndex
CREATE INDEX "confirmation_challenge_id_idx" ON "confirmation"("challenge_id");

-- AddForeignKey
ALTER TABLE "confirmation" ADD CONSTRAINT "confirmation_challenge_id_fkey" FOREIGN KEY ("challenge_id") REFERENCES "challenge"("id") ON DELETE CASCADE ON UPDATE RESTRICT;

-- What the Prisma schema cannot say: what is still to be done is little, among much that is done.
CREATE INDEX "mail_due" ON "mail"("urgent", "next_attempt_at") WHERE "status" = 'queued';
CREATE INDEX "confirmation_open" ON "confirmation"("expires_at") WHERE "outcome" IS NULL;
CREATE INDEX "certificate_notice" ON "certificate"("notice_at") WHERE "notice_at" IS NOT NULL;

-- Subscribers are told of certificates that were issued before, too (src/store/notices.ts has the same arithmetic).
UPDATE "certificate" SET "notice_at" = "not_after" - ("not_after" - "not_before") * 3 / 10
  WHERE "kind" = 'leaf' AND "account_id" IS NOT NULL AND "not_after" > CAST(extract(epoch FROM now()) * 1000 AS BIGINT);
