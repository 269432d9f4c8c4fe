-- CreateTable
CREATE TABLE "crl_part" (
    "issuer_id" TEXT NOT NULL,
    "shard" INTEGER NOT NULL,
    "number" BIGINT NOT NULL,
    "part" INTEGER NOT NULL,
    "der" BYTEA NOT NULL,

    CONSTRAINT "crl_part_pkey" PRIMARY KEY ("issuer_id","shard","number","part")
);

-- AddForeignKey
ALTER TABLE "crl_part" ADD CONSTRAINT "crl_part_issuer_id_fkey" FOREIGN KEY ("issuer_id") REFERENCES "issuer"("id") ON DELETE RESTRICT ON UPDATE RESTRICT;

-- Serials are random: the server need not try to compress them.
ALTER TABLE "crl_part" ALTER COLUMN "der" SET STORAGE EXTERNAL;

-- What is served goes on being served: a list that is there becomes one part, whatever its size, until the next one takes its place.
INSERT INTO "crl_part" ("issuer_id", "shard", "number", "part", "der") SELECT "issuer_id", "shard", "number", 0, "der" FROM "crl";

-- AlterTable
ALTER TABLE "crl" ADD COLUMN     "octets" INTEGER NOT NULL DEFAULT 0;
UPDATE "crl" SET "octets" = length("der");
ALTER TABLE "crl" DROP COLUMN "der";

-- Who may read the lists, such as the user of status processes, may go on reading them.
DO $$
DECLARE
    reader TEXT;
BEGIN
    FOR reader IN
        SELECT DISTINCT grantee FROM information_schema.role_table_grants
        WHERE table_schema = current_schema() AND table_name = 'crl' AND privilege_type = 'SELECT' AND grantee <> current_user
    LOOP
        EXECUTE format('GRANT SELECT ON "crl_part" TO %s', CASE WHEN reader = 'PUBLIC' THEN 'PUBLIC' ELSE quote_ident(reader) END);
    END LOOP;
END
$$;
