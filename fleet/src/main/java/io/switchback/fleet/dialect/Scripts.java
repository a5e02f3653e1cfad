package io.switchback.fleet.dialect;

/**
 * Lua for what an old server has no command for. They run inside the old server as it applies the stream, so each is one
 * atomic step, and each is the same bytes every time.
 *
 * <p>{@code replicate_commands} lets a script write after it has read what a server of 6.0 takes for random; newer servers
 * accept the call and do so anyway.
 */
final class Scripts {
    private Scripts() {}

    /** KEYS: source, destination. ARGV: the index to read, how to push, how to pop. Pushed first, so that a list moved onto itself keeps its time to live. */
    static final byte[] LMOVE = lua("""
            local v=redis.call('LINDEX',KEYS[1],ARGV[1])
            if v then redis.call(ARGV[2],KEYS[2],v) redis.call(ARGV[3],KEYS[1]) end""");

    /**
     * KEYS: source, destination. ARGV: the destination's database, or nothing. The clock is read before and after the time to
     * live until both readings are the same millisecond: then their sum is the exact time of expiry.
     */
    static final byte[] COPY = lua("""
            redis.replicate_commands()
            local function ms() local t=redis.call('TIME') return t[1]*1000+math.floor(t[2]/1000) end
            local d=redis.call('DUMP',KEYS[1])
            if not d then return end
            local at=0
            for i=1,1000 do
            local a=ms() local p=redis.call('PTTL',KEYS[1]) local b=ms()
            if p<0 then at=0 break end
            at=a+p
            if a==b then break end
            end
            if ARGV[1] then redis.call('SELECT',ARGV[1]) end
            if at==0 then redis.call('RESTORE',KEYS[2],0,d,'REPLACE')
            else redis.call('RESTORE',KEYS[2],string.format('%.0f',at),d,'REPLACE','ABSTTL') end""");

    /** KEYS: the sorted set. ARGV: GT, LT or nothing, XX or nothing, then scores and members. */
    static final byte[] ZADD = lua("""
            for i=3,#ARGV,2 do
            local s=redis.call('ZSCORE',KEYS[1],ARGV[i+1])
            local n=tonumber(ARGV[i])
            if (not s and ARGV[2]=='') or (s and ((ARGV[1]=='GT' and n>tonumber(s)) or (ARGV[1]=='LT' and n<tonumber(s)))) then
            redis.call('ZADD',KEYS[1],ARGV[i],ARGV[i+1]) end
            end""");

    /** KEYS: destination, source. ARGV: the two ends, RANK, SCORE or LEX, REV or nothing, offset and count of LIMIT. */
    static final byte[] ZRANGESTORE = lua("""
            local rev=ARGV[4]=='REV' and 'REV' or ''
            local r={}
            if ARGV[3]=='RANK' then r=redis.call('Z'..rev..'RANGE',KEYS[2],ARGV[1],ARGV[2],'WITHSCORES')
            elseif ARGV[3]=='SCORE' then
            r=redis.call('Z'..rev..'RANGEBYSCORE',KEYS[2],ARGV[1],ARGV[2],'WITHSCORES','LIMIT',ARGV[5],ARGV[6])
            else
            for _,m in ipairs(redis.call('Z'..rev..'RANGEBYLEX',KEYS[2],ARGV[1],ARGV[2],'LIMIT',ARGV[5],ARGV[6])) do
            r[#r+1]=m r[#r+1]=redis.call('ZSCORE',KEYS[2],m) end
            end
            redis.call('DEL',KEYS[1])
            for i=1,#r,2 do redis.call('ZADD',KEYS[1],r[i+1],r[i]) end""");

    /** KEYS: destination, then the sets or sorted sets. */
    static final byte[] ZDIFFSTORE = lua("""
            local function all(k)
            if redis.call('TYPE',k).ok~='set' then return redis.call('ZRANGE',k,0,-1,'WITHSCORES') end
            local r={}
            for _,m in ipairs(redis.call('SMEMBERS',k)) do r[#r+1]=m r[#r+1]='1' end
            return r
            end
            redis.replicate_commands()
            local gone={}
            for i=3,#KEYS do local r=all(KEYS[i]) for j=1,#r,2 do gone[r[j]]=true end end
            local r=all(KEYS[2])
            redis.call('DEL',KEYS[1])
            for j=1,#r,2 do if not gone[r[j]] then redis.call('ZADD',KEYS[1],r[j+1],r[j]) end end""");

    /** KEYS: the stream. ARGV: the first id that stays, with its sequence. */
    static final byte[] XTRIM = lua("""
            while true do
            local r=redis.call('XRANGE',KEYS[1],'-',ARGV[1],'COUNT',1000)
            local n=0
            for _,e in ipairs(r) do if e[1]~=ARGV[1] then redis.call('XDEL',KEYS[1],e[1]) n=n+1 end end
            if n==0 then return end
            end""");

    /** KEYS: the stream. ARGV: the words of XCLAIM from the group on. */
    static final byte[] XCLAIM = lua("""
            redis.replicate_commands()
            redis.call('XCLAIM',KEYS[1],unpack(ARGV))
            if #redis.call('XRANGE',KEYS[1],ARGV[4],ARGV[4])==0 then redis.call('XACK',KEYS[1],ARGV[1],ARGV[4]) end""");

    private static byte[] lua(String text) {
        return Words.bytes(text);
    }
}
