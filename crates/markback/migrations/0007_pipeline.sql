-- The key of the job that follows the writeback now. Each time some of its marks are settled another job takes over.
ALTER TABLE markback_writebacks ADD COLUMN job TEXT;

-- Pauses whose cause an operator has to remove (a secret, a permission, a setting). The next start ends them.
CREATE TABLE markback_operator_pauses (
    lane TEXT PRIMARY KEY,
    why  TEXT NOT NULL
);
