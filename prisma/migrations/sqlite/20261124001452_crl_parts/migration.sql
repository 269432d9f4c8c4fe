-- CreateTable
CREATE TABLE "crl_part" (
    "issuer_id" TEXT NOT NULL,
    "shard" INTEGER NOT NULL,
    "number" BIGINT NOT NULL,
    "part" INTEGER NOT NULL,
    "der" BLOB NOT NULL,

    PRIMARY KEY ("issuer_id", "shard", "number", "part"),
    CONSTRAINT "crl_part_issuer_id_fkey" FOREIGN KEY ("issuer_id") REFERENCES "issuer" ("id") ON DELETE RESTRICT ON UPDATE RESTRICT
);

-- What is served goes on being served: a list that is there becomes one part, whatever its size, until the next one takes its place.
INSERT INTO "crl_part" ("issuer_id", "shard", "number", "part", "der") SELECT "issuer_id", "shard", "number", 0, "der" FROM "crl";

-- AlterTable
ALTER TABLE "crl" ADD COLUMN "octets" INTEGER NOT NULL DEFAULT 0;
UPDATE "crl" SET "octets" = length("der");
ALTER TABLE "crl" DROP COLUMN "der";
